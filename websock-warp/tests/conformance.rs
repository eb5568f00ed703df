//! What the rules promise, over real sockets, on warp.

use std::process::ExitCode;
use std::sync::Arc;

use warp::filters::BoxedFilter;
use warp::http::StatusCode;
use warp::reply::{Reply, Response, with_header, with_status};
use warp::{Filter, path};
use websock_conformance::{Host, Running, Site, TokioServer, async_trait};
use websock_warp::{Upgrade, upgrade};

struct Warp;

#[async_trait]
impl Host for Warp {
    fn name(&self) -> &'static str {
        "warp"
    }

    async fn start(&self, site: Arc<Site>) -> Box<dyn Running> {
        TokioServer::start(site, async move |listener, site| {
            warp::serve(routes(site)).incoming(listener).run().await;
        })
    }

    fn cannot(&self) -> &'static [(&'static str, &'static str)] {
        const TAKEN: &str = "a filter cannot take a request's extension away";
        const REPLACED: &str = "hyper 1.12 hands over although the response was no 101";
        &[
            ("lifecycle::a_101_that_was_replaced_drops_the_handler_when_the_connection_ends", REPLACED),
            ("lifecycle::a_101_that_was_replaced_never_becomes_a_connection", REPLACED),
            ("upgrade::a_transport_that_is_taken_is_a_server_error", TAKEN),
            ("upgrade::the_first_defect_of_the_table_is_told", TAKEN),
            (
                "upgrade::the_authority_of_an_absolute_target_is_the_host",
                "warp hides a target that contradicts Host",
            ),
        ]
    }
}

fn main() -> ExitCode {
    websock_conformance::main(&[&Warp])
}

/// The routes that [`Host`] lists.
fn routes(site: Arc<Site>) -> BoxedFilter<(Response,)> {
    let site = warp::any().map(move || site.clone());
    let accepted =
        site.clone().and(upgrade()).map(|site: Arc<Site>, upgrade: Upgrade| accept(&site, upgrade));
    let probed = site.clone().map(|site: Arc<Site>| drop(site.probe())).untuple_one();
    let looked = site.and(upgrade()).map(|site: Arc<Site>, upgrade: Upgrade| {
        drop(site.probe());
        upgrade.validate(site.options()).map(|()| "acceptable").into_response()
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
    upgrade.accept(site.probe(), site.options()).into_response()
}
