//! The application on warp.

use std::net::TcpListener;

use warp::Filter;
use warp::http::method::Method;
use warp::path::FullPath;
use warp::reply::Reply;
use websock_warp::{Upgrade, WebSock, upgrade};

use super::App;

pub(super) async fn serve<H: WebSock, F>(listener: TcpListener, app: App<F>) -> std::io::Result<()>
where
    F: Fn() -> H + Clone + Send + Sync + 'static,
{
    let App { path, page, handler, options, .. } = app;
    // A CONNECT's target is no path, at which warp's filter of paths panics.
    let has_path = warp::method()
        .and_then(|method| {
            std::future::ready(if method == Method::CONNECT { Err(warp::reject()) } else { Ok(()) })
        })
        .untuple_one();
    let at = |path: &'static str| {
        let same = move |full: FullPath| {
            std::future::ready((full.as_str() == path).then_some(()).ok_or_else(warp::reject))
        };
        has_path.and(warp::path::full()).and_then(same).untuple_one()
    };
    let websocket = at(path)
        .and(upgrade())
        .map(move |upgrade: Upgrade| upgrade.accept(handler(), &options).into_response());
    let page = at("/")
        .and(warp::get())
        .and_then(move || async move { page.map(warp::reply::html).ok_or_else(warp::reject) });
    let listener = tokio::net::TcpListener::from_std(listener)?;
    warp::serve(websocket.or(page)).incoming(listener).run().await;
    Ok(())
}
