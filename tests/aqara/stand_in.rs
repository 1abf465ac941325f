//! A server in the place of Aqara's that says whatever a test wants, and remembers what it was asked.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// Stops when dropped.
pub(crate) struct StandIn {
    pub(crate) url: String,
    calls: Arc<Mutex<Vec<Call>>>,
    serving: JoinHandle<()>,
}

/// A call as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Counts from 0.
    pub(crate) number: usize,
    pub(crate) intent: String,
    pub(crate) data: Value,
    pub(crate) nonce: String,
    /// The header, in Unix milliseconds.
    pub(crate) time: i64,
    pub(crate) has_access_token: bool,
}

/// What is answered.
#[derive(Clone)]
pub(crate) struct Says {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// The `Date` header, if not the true one.
    pub(crate) date: Option<Timestamp>,
}

impl Says {
    pub(crate) fn result(result: &Value) -> Self {
        Self { status: 200, body: json!({ "code": 0, "message": "Success", "result": result }).to_string(), date: None }
    }

    pub(crate) fn code(code: i64) -> Self {
        let text = "Request failed. Please try again.";
        Self { status: 200, body: json!({ "code": code, "message": text }).to_string(), date: None }
    }

    pub(crate) fn text(body: &str) -> Self {
        Self { status: 200, body: body.to_owned(), date: None }
    }

    pub(crate) fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn at(self, date: Timestamp) -> Self {
        Self { date: Some(date), ..self }
    }
}

impl StandIn {
    pub(crate) async fn start(says: impl Fn(&Call) -> Says + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (says, heard) = (Arc::new(says), calls.clone());
        let router = Router::new().fallback(async move |headers: HeaderMap, body: Bytes| {
            let call = {
                let mut heard = heard.lock().unwrap();
                let call = read(heard.len(), &headers, &body);
                heard.push(call.clone());
                call
            };
            let Says { status, body, date } = says(&call);
            let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
            if let Some(date) = date {
                let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
                response.headers_mut().insert(header::DATE, date.parse().unwrap());
            }
            response
        });
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, calls, serving }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn read(number: usize, headers: &HeaderMap, body: &Bytes) -> Call {
    let body: Value = serde_json::from_slice(body).unwrap();
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    Call {
        number,
        intent: body["intent"].as_str().unwrap().to_owned(),
        data: body["data"].clone(),
        nonce: text("nonce"),
        time: text("time").parse().unwrap(),
        has_access_token: headers.contains_key("accesstoken"),
    }
}
