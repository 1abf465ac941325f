//! Whether the process lives, and whether it can do its work. Both answer without a key.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};

use super::{
    Web,
    answer::json_response,
    schema::{BrokerWord, Readiness, StoreWord},
};

/// The process lives
#[utoipa::path(get, path = "/healthz", tag = "latchkey", responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn healthz() -> Response {
    let mut response = Response::new("ok\n".into());
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

/// The store takes commits and the broker is connected; 503 where one of them is not, and the body says which
#[utoipa::path(
    get, path = "/readyz", tag = "latchkey",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness))
)]
pub(super) async fn readyz(State(web): State<Arc<Web>>) -> Response {
    let store = if web.is_store_well().await { StoreWord::Open } else { StoreWord::Blocked };
    let broker = if web.link.is_connected() { BrokerWord::Connected } else { BrokerWord::Disconnected };
    let ready = matches!((store, broker), (StoreWord::Open, BrokerWord::Connected));
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::to_vec(&Readiness { ready, store, broker }).unwrap_or_default();
    json_response(status, body)
}
