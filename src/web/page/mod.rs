//! The page at `/`: a few files in the binary, which ask the admin API as any other program does.
//!
//! They hold no secret and answer without the key; everything that they show comes through the guard. All addresses in
//! them are relative, so that they work below any path prefix of a reverse proxy.

use std::sync::Arc;

use axum::{
    Extension,
    http::{HeaderValue, header},
    response::Response,
    routing::{MethodRouter, get},
};

use super::{Web, guard::Admission};

/// Scripts, styles and answers of our own, and nothing from anywhere else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'self'; frame-ancestors ";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// Path, type and text.
const FILES: [(&str, &str, &str); 6] = [
    ("/", HTML, include_str!("page.html")),
    ("/page.css", CSS, include_str!("page.css")),
    ("/page.js", JS, include_str!("page.js")),
    ("/account.js", JS, include_str!("account.js")),
    ("/api.js", JS, include_str!("api.js")),
    ("/words.js", JS, include_str!("words.js")),
];

pub(super) fn routes() -> impl Iterator<Item = (&'static str, MethodRouter<Arc<Web>>)> {
    let answer = |kind, text| get(async move |Extension(admission): Extension<Admission>| file(kind, text, admission));
    FILES.into_iter().map(move |(path, kind, text)| (path, answer(kind, text)))
}

/// Whether it answers without the key.
pub(super) fn is_page(path: &str) -> bool {
    FILES.iter().any(|it| it.0 == path)
}

fn file(kind: &'static str, text: &'static str, admission: Admission) -> Response {
    let mut response = Response::new(text.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // Home Assistant shows it within a page of its own, which its browser has from the same origin; nobody else may.
    let ancestors = if admission == Admission::Ingress { "'self'" } else { "'none'" };
    if let Ok(policy) = HeaderValue::from_str(&format!("{POLICY}{ancestors}")) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}
