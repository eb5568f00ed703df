//! [`BoxWebSock`]: a handler whose type is chosen at run time.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;

use crate::close::CloseReason;
use crate::driver::Socket;
use crate::handler::WebSock;
use crate::message::{Control, Message};
use crate::outcome::HandleResult;

/// A handler of any type, for routes that choose one at run time.
///
/// Each callback costs one allocation more than that of the handler itself.
///
/// ```
/// # use websock_core::{BoxWebSock, HandleResult, Message, Outcome, WebSock};
/// # struct Echo;
/// # impl WebSock for Echo {
/// #     type Info = ();
/// #     async fn handle_in(&mut self, message: Message) -> HandleResult { Ok(Outcome::push(message)) }
/// # }
/// # struct Sink;
/// # impl WebSock for Sink {
/// #     type Info = ();
/// #     async fn handle_in(&mut self, _: Message) -> HandleResult { Ok(Outcome::none()) }
/// # }
/// fn handler(path: &str) -> BoxWebSock<()> {
///     match path {
///         "/echo" => BoxWebSock::new(Echo),
///         _ => BoxWebSock::new(Sink),
///     }
/// }
/// ```
pub struct BoxWebSock<I>(Box<dyn DynWebSock<I>>);

impl<I: Send + 'static> BoxWebSock<I> {
    /// Boxes a handler.
    pub fn new<H: WebSock<Info = I>>(handler: H) -> Self {
        BoxWebSock(Box::new(handler))
    }
}

impl<I> std::fmt::Debug for BoxWebSock<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoxWebSock").finish_non_exhaustive()
    }
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// [`WebSock`] in a form that can be a trait object.
trait DynWebSock<I>: Send + 'static {
    fn init(&mut self, socket: Socket<I>) -> BoxFuture<'_, HandleResult>;
    fn handle_in(&mut self, message: Message) -> BoxFuture<'_, HandleResult>;
    fn handle_control(&mut self, control: Control) -> BoxFuture<'_, HandleResult>;
    fn handle_info(&mut self, info: I) -> BoxFuture<'_, HandleResult>;
    fn terminate(self: Box<Self>, reason: CloseReason) -> BoxFuture<'static, ()>;
    fn type_name(&self) -> &'static str;
}

impl<H: WebSock> DynWebSock<H::Info> for H {
    fn init(&mut self, socket: Socket<H::Info>) -> BoxFuture<'_, HandleResult> {
        Box::pin(WebSock::init(self, socket))
    }

    fn handle_in(&mut self, message: Message) -> BoxFuture<'_, HandleResult> {
        Box::pin(WebSock::handle_in(self, message))
    }

    fn handle_control(&mut self, control: Control) -> BoxFuture<'_, HandleResult> {
        Box::pin(WebSock::handle_control(self, control))
    }

    fn handle_info(&mut self, info: H::Info) -> BoxFuture<'_, HandleResult> {
        Box::pin(WebSock::handle_info(self, info))
    }

    fn terminate(self: Box<Self>, reason: CloseReason) -> BoxFuture<'static, ()> {
        Box::pin(WebSock::terminate(*self, reason))
    }

    fn type_name(&self) -> &'static str {
        type_name(self)
    }
}

/// The handler's type, for the log (SPEC E3): of a boxed one, that in the box.
pub(crate) fn type_name<H: WebSock>(handler: &H) -> &'static str {
    match (handler as &dyn Any).downcast_ref::<BoxWebSock<H::Info>>() {
        Some(boxed) => boxed.0.type_name(),
        None => std::any::type_name::<H>(),
    }
}

impl<I: Send + 'static> WebSock for BoxWebSock<I> {
    type Info = I;

    fn init(&mut self, socket: Socket<I>) -> impl Future<Output = HandleResult> + Send {
        self.0.init(socket)
    }

    fn handle_in(&mut self, message: Message) -> impl Future<Output = HandleResult> + Send {
        self.0.handle_in(message)
    }

    fn handle_control(&mut self, control: Control) -> impl Future<Output = HandleResult> + Send {
        self.0.handle_control(control)
    }

    fn handle_info(&mut self, info: I) -> impl Future<Output = HandleResult> + Send {
        self.0.handle_info(info)
    }

    fn terminate(self, reason: CloseReason) -> impl Future<Output = ()> + Send {
        self.0.terminate(reason)
    }
}
