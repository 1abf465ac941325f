//! Home Assistant's supervisor, which tells an add-on where the house has its broker.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use crate::{account::Secret, config::add_on::Broker};

use super::plain_http::{
    Request, StatusCode, exchange,
    header::{AUTHORIZATION, HOST, HeaderValue},
};

const PATIENCE: Duration = Duration::from_secs(10);

/// Why it named no broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoBroker {
    #[error("the supervisor does not answer")]
    Silent,
    #[error("the supervisor knows no MQTT broker")]
    Unknown,
    #[error("the supervisor refuses to tell of the MQTT broker ({0})")]
    Refused(StatusCode),
    #[error("what the supervisor says of the MQTT broker is not understood")]
    Foreign,
}

#[derive(Deserialize)]
struct Document {
    data: Broker,
}

/// Asks for the broker that serves the whole house. `address` is a host with a port, `token` the add-on's own.
pub(super) async fn broker(address: &str, token: &Secret) -> Result<Broker, NoBroker> {
    let bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
    let mut bearer = bearer.map_err(|_| NoBroker::Refused(StatusCode::UNAUTHORIZED))?;
    bearer.set_sensitive(true);
    let request = Request::builder().uri("/services/mqtt").header(HOST, address).header(AUTHORIZATION, bearer);
    let request = request.body(Bytes::new()).map_err(|_| NoBroker::Silent)?;
    let (status, body) = exchange(address, request, PATIENCE).await.map_err(|_| NoBroker::Silent)?;
    match status {
        StatusCode::OK => {
            let document: Document = serde_json::from_slice(&body).map_err(|_| NoBroker::Foreign)?;
            Ok(document.data)
        }
        // It says so of a service that nobody provides, and while it starts.
        StatusCode::BAD_REQUEST => Err(NoBroker::Unknown),
        other => Err(NoBroker::Refused(other)),
    }
}
