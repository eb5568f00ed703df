//! What the suite does with servers that are wrong: it says so, and does not hang.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use websock_conformance::{Case, Host, Running, Site, TokioServer, async_trait, cases};

const CASE: &str = "closing::a_close_is_answered_with_its_code_and_no_reason";

fn case() -> Case {
    cases().into_iter().find(|case| case.name() == CASE).unwrap()
}

/// Answers every connection with these bytes, and then with nothing.
struct Answering(&'static [u8]);

#[async_trait]
impl Host for Answering {
    fn name(&self) -> &'static str {
        "answering"
    }

    async fn start(&self, site: Arc<Site>) -> Box<dyn Running> {
        let bytes = self.0;
        TokioServer::start(site, async move |listener: TcpListener, _| {
            let mut streams = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.write_all(bytes).await.unwrap();
                streams.push(stream);
            }
        })
    }
}

#[test]
fn a_wrong_answer_is_told_with_the_line_of_the_case() {
    let told = case().run(&Answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")).unwrap_err();
    assert!(told.contains("panicked at ") && told.contains("left: 404"), "{told}");
    assert!(told.contains("called at") && told.contains("src/cases/closing/"), "{told}");
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let told = case().run_within(Duration::from_millis(200), &Answering(b"")).unwrap_err();
    assert!(told.contains("did not end within 200ms"), "{told}");
}

#[test]
fn a_panic_of_the_server_is_told_with_the_failure() {
    struct Broken;

    #[async_trait]
    impl Host for Broken {
        fn name(&self) -> &'static str {
            "broken"
        }

        async fn start(&self, site: Arc<Site>) -> Box<dyn Running> {
            TokioServer::start(site, async |_, _| panic!("out of order"))
        }
    }

    let told = case().run(&Broken).unwrap_err();
    assert!(told.contains("the server panicked at ") && told.contains("out of order"), "{told}");
    assert!(told.contains("tests/harness.rs"), "{told}");
}
