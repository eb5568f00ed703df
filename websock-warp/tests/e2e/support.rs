//! The start-up: a site on warp.

use std::sync::Arc;

use warp::filters::BoxedFilter;
use warp::http::StatusCode;
use warp::reply::{Reply, Response, with_header, with_status};
use warp::{Filter, path};
use websock_warp::{Upgrade, upgrade};

use crate::site::{Host, Site};

pub(crate) const HOST: Host = Host(|listener, site| {
    Box::pin(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        warp::serve(routes(site)).incoming(listener).run().await;
    })
});

/// The routes that [`Host`] lists.
fn routes(site: Arc<Site>) -> BoxedFilter<(Response,)> {
    let site = warp::any().map(move || site.clone());
    let accepted =
        site.clone().and(upgrade()).map(|site: Arc<Site>, upgrade: Upgrade| accept(&site, upgrade));
    let probed = site.clone().map(|site: Arc<Site>| drop(site.probe())).untuple_one();
    let looked = site.and(upgrade()).map(|site: Arc<Site>, upgrade: Upgrade| {
        drop(site.probe());
        upgrade.validate(&site.options).map(|()| "acceptable").into_response()
    });
    let ws = path!("ws").and(accepted.clone());
    let look = path!("look").and(looked);
    let cookie = path!("cookie").and(accepted.clone()).map(|response: Response| {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            with_header(with_header(response, "set-cookie", "seen=1"), "x-route", "cookie").into_response()
        } else {
            response
        }
    });
    let members = path!("members").and(members_only()).and(accepted.clone());
    let refused = path!("members")
        .and(probed.clone())
        .map(|| with_status("members only", StatusCode::UNAUTHORIZED).into_response());
    let replaced = path!("replaced").and(accepted).map(|_: Response| "replaced".into_response());
    let not_found = probed.map(|| with_status("not found", StatusCode::NOT_FOUND).into_response());
    ws.or(look)
        .unify()
        .or(cookie)
        .unify()
        .or(members)
        .unify()
        .or(refused)
        .unify()
        .or(replaced)
        .unify()
        .or(not_found)
        .unify()
        .boxed()
}

fn members_only() -> BoxedFilter<()> {
    warp::header::exact("authorization", "secret").boxed()
}

fn accept(site: &Site, upgrade: Upgrade) -> Response {
    upgrade.accept(site.probe(), &site.options).into_response()
}
