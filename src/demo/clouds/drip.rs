//! A body that comes letter by letter.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Bytes;
use hyper::body::{Body, Frame};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// In real time, as the client's own timeouts are.
const BETWEEN_LETTERS: Duration = Duration::from_secs(1);

pub(super) struct Drip {
    rest: Bytes,
    next: Interval,
}

impl Drip {
    pub(super) fn of(body: String) -> Self {
        let mut next = interval(BETWEEN_LETTERS);
        next.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { rest: body.into(), next }
    }
}

impl Body for Drip {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        ready!(self.next.poll_tick(cx));
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(1)))))
    }
}
