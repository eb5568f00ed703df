//! What the SPEC promises, over real sockets, on actix: the same cases, by the same names, as on hyper.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

extern crate websock_actix as websock_hyper;

/// Makes a test of a case, unless actix cannot do what it needs.
macro_rules! case {
    (an_origin_may_not_where_the_request_has_no_single_host) => {
        case!(ignored an_origin_may_not_where_the_request_has_no_single_host, "actix answers such a request itself");
    };
    (ignored $case:ident, $reason:literal) => {
        #[tokio::test]
        #[ignore = $reason]
        async fn $case() {
            super::$case($crate::support::HOST).await;
        }
    };
    ($case:ident) => {
        #[tokio::test]
        async fn $case() {
            super::$case($crate::support::HOST).await;
        }
    };
}

/// Makes a test of each case.
macro_rules! on_every_host {
    ($($case:ident,)*) => {
        mod on_actix {
            $(
                case!($case);
            )*
        }
    };
}

#[path = "../../../websock-hyper/tests/e2e/peer.rs"]
mod peer;
#[path = "../../../websock-hyper/tests/e2e/referee.rs"]
mod referee;
#[path = "../../../websock-hyper/tests/e2e/site.rs"]
mod site;
mod support;

#[path = "../../../websock-hyper/tests/e2e/backpressure.rs"]
mod backpressure;
#[path = "../../../websock-hyper/tests/e2e/closing.rs"]
mod closing;
#[path = "../../../websock-hyper/tests/e2e/draining.rs"]
mod draining;
#[path = "../../../websock-hyper/tests/e2e/early_data.rs"]
mod early_data;
#[path = "../../../websock-hyper/tests/e2e/ending.rs"]
mod ending;
#[path = "../../../websock-hyper/tests/e2e/isolation.rs"]
mod isolation;
#[path = "../../../websock-hyper/tests/e2e/messages.rs"]
mod messages;
#[path = "../../../websock-hyper/tests/e2e/origin.rs"]
mod origin;
#[path = "../../../websock-hyper/tests/e2e/refusal.rs"]
mod refusal;
#[path = "../../../websock-hyper/tests/e2e/routes.rs"]
mod routes;
#[path = "../../../websock-hyper/tests/e2e/timing.rs"]
mod timing;
#[path = "../../../websock-hyper/tests/e2e/upgrading.rs"]
mod upgrading;
#[path = "../../../websock-hyper/tests/e2e/violations.rs"]
mod violations;
