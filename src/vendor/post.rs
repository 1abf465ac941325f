//! A message to an address that is no vendor's, by the same guarded client: nothing is followed or repeated.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};

use super::http::{Http, header_value};
use crate::account::Secret;

/// Why a message was not taken. It does not name the address, which may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    #[error("it answered with HTTP {0}")]
    Refused(u16),
    #[error("it could not be reached, or did not answer")]
    NoAnswer,
    #[error("the token has characters that no header can hold")]
    Token,
}

impl Http {
    /// Posts a JSON document. What is answered is not read, but for its status.
    pub async fn post_json(&self, url: &Secret, token: Option<&Secret>, body: String) -> Result<(), PostError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(token) = token {
            let bearer = Secret::new(format!("Bearer {}", token.expose()));
            headers.insert(AUTHORIZATION, header_value(bearer.expose()).map_err(|_| PostError::Token)?);
        }
        let answer = self.client().post(url.expose()).headers(headers).body(body).send().await;
        let status = answer.map_err(|_| PostError::NoAnswer)?.status();
        if status.is_success() { Ok(()) } else { Err(PostError::Refused(status.as_u16())) }
    }
}
