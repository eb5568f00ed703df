//! The application on warp.

use std::net::TcpListener;

use warp::Filter;
use warp::path::FullPath;
use warp::reply::Reply;
use websock_warp::{Upgrade, WebSock, upgrade};

use super::App;

pub(super) async fn serve<H: WebSock, F>(listener: TcpListener, app: App<F>) -> std::io::Result<()>
where
    F: Fn() -> H + Clone + Send + Sync + 'static,
{
    let App { path, page, handler, options, .. } = app;
    let at = |path: &'static str| {
        let same = move |full: FullPath| {
            std::future::ready((full.as_str() == path).then_some(()).ok_or_else(warp::reject))
        };
        warp::path::full().and_then(same).untuple_one()
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
