//! The floor: a bare TCP echo that only moves the bytes.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

thread_local! {
    /// The thread's read buffers, the last used one first. As long as writes finish at once there is only one, always
    /// in the cache; a connection whose write has to wait keeps its own meanwhile.
    static SPARE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn run<const READ: usize>(listener: TcpListener, workers: usize) -> io::Result<()> {
    super::accept(listener, workers, |stream| async { echo::<READ>(stream).await.unwrap_or_default() })
}

async fn echo<const READ: usize>(mut stream: TcpStream) -> io::Result<()> {
    loop {
        let (buffer, read) = poll_fn(|cx| {
            // The buffer is zeroed when it is made, and never again.
            let spare = SPARE.with_borrow_mut(Vec::pop);
            let mut buffer = spare.unwrap_or_else(|| vec![0; READ].into_boxed_slice());
            let mut filled = ReadBuf::new(&mut buffer);
            // `poll_read`, not `try_read`: after a short read it waits without another system call.
            let polled = Pin::new(&mut stream).poll_read(cx, &mut filled);
            let read = filled.filled().len();
            if polled.is_pending() {
                SPARE.with_borrow_mut(|spare| spare.push(buffer));
                return Poll::Pending;
            }
            ready!(polled)?;
            Poll::Ready(Ok::<_, io::Error>((buffer, read)))
        })
        .await?;
        // One write; more only when the socket takes less.
        stream.write_all(&buffer[..read]).await?;
        SPARE.with_borrow_mut(|spare| spare.push(buffer));
        if read == 0 {
            return Ok(());
        }
    }
}
