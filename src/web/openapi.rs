//! `/openapi.json`: what can be asked and what is answered, made from the handlers.

use axum::{http::StatusCode, response::Response};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        Components, ContentBuilder, HeaderBuilder, Object, Ref, RefOr, Response as Described, ResponseBuilder, Type,
        path::Operation,
        security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme},
    },
};

use super::{accounts, answer::json_response, aqara, events, health, metrics, schema, session};

/// The answers that any route below `/v1` may give instead of its own.
const REFUSALS: [(u16, &str); 14] = [
    (400, "The request cannot be read"),
    (401, "The key is missing or wrong"),
    (403, "Not switched on for this account, or a session's request that is not the page's"),
    (404, "There is no such account, scene or door"),
    (408, "The request did not arrive in time"),
    (409, "It cannot be done with the tokens that are held, or the tokens are refused"),
    (413, "The request is longer than 64 KiB"),
    (421, "Latchkey is not known by this host name"),
    (422, "It cannot be done for this account, or with this code, password or target"),
    (429, "Too soon, too many calls, or too many wrong keys"),
    (500, "A fault inside Latchkey"),
    (502, "The vendor's cloud cannot be reached, or answers with a fault"),
    (503, "This machine stands in the way, or Latchkey is stopping"),
    (504, "The vendor's cloud gives no answer; it may have been done or not"),
];

#[derive(OpenApi)]
#[openapi(
    info(title = "Latchkey", description = "Keeps vendor-cloud logins alive. The commands are those of MQTT."),
    paths(
        health::healthz,
        health::readyz,
        metrics::metrics,
        document,
        session::look,
        session::sign_in,
        session::sign_out,
        events::events,
        accounts::list,
        accounts::status,
        accounts::update_tokens,
        accounts::refresh,
        accounts::scenes,
        accounts::trigger,
        accounts::doors,
        accounts::open,
        accounts::login_code,
        accounts::login,
        accounts::access_token,
        accounts::forget,
        accounts::recall,
        aqara::update_refresh_token,
        aqara::token_status,
    ),
    components(schemas(schema::ErrorReply, schema::KnownError)),
    modifiers(&Common)
)]
struct Api;

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "latchkey", responses((status = 200, body = Object)))]
pub(super) async fn document() -> Response {
    json_response(StatusCode::OK, text().into_bytes())
}

/// The document as JSON.
pub fn text() -> String {
    Api::openapi().to_json().unwrap_or_default()
}

/// What all routes have in common: the key, and the refusals.
struct Common;

impl Modify for Common {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let components = api.components.get_or_insert_with(Components::new);
        for (name, header) in [("key", "X-Latchkey-Key"), ("metron_key", "X-Metron-Key")] {
            let scheme = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(header)));
            components.add_security_scheme(name, scheme);
        }
        for (path, item) in &mut api.paths.paths {
            let is_open = matches!(path.as_str(), "/healthz" | "/readyz");
            let schema = if path.starts_with("/v1/admin/") { "KnownError" } else { "ErrorReply" };
            let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
            for operation in operations.into_iter().flatten() {
                if !is_open {
                    let keys = ["key", "metron_key"];
                    operation.security = Some(keys.map(|it| SecurityRequirement::new(it, [""; 0])).to_vec());
                }
                let is_meant = |status: u16| {
                    path.starts_with("/v1/") || status == 421 || (!is_open && matches!(status, 401 | 429))
                };
                add_refusals(operation, schema, is_meant);
            }
        }
    }
}

fn add_refusals(operation: &mut Operation, schema: &str, is_meant: impl Fn(u16) -> bool) {
    for (status, description) in REFUSALS.into_iter().filter(|it| is_meant(it.0)) {
        let response = refusal(status, description, schema);
        operation.responses.responses.entry(status.to_string()).or_insert(RefOr::T(response));
    }
}

fn refusal(status: u16, description: &str, schema: &str) -> Described {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    let response = ResponseBuilder::new().description(description).content("application/json", content);
    if status == 429 {
        let seconds = HeaderBuilder::new().schema(Some(Object::with_type(Type::Integer))).build();
        return response.header("Retry-After", seconds).build();
    }
    response.build()
}
