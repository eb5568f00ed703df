//! What the SPEC promises, over real sockets, on warp: the same cases, by the same names, as on hyper.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

/// Makes a test of a case, unless warp cannot do what it needs.
macro_rules! case {
    (a_transport_that_is_taken_is_a_server_error) => {
        case!(ignored a_transport_that_is_taken_is_a_server_error, "a filter cannot take a request's extension away");
    };
    (the_first_defect_of_the_table_is_told) => {
        case!(ignored the_first_defect_of_the_table_is_told, "a filter cannot take a request's extension away");
    };
    (the_authority_of_an_absolute_target_is_the_host) => {
        case!(ignored the_authority_of_an_absolute_target_is_the_host, "warp hides a target that contradicts Host");
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
        mod on_warp {
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
