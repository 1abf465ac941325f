//! Who is due gives way to whoever waits: while a command is carried out, the schedule begins no other refresh.

use std::time::Duration;

use tokio::{sync::watch, time::timeout};

/// A command that waits for its vendor has no use for more, and one that comes upon another does not stop the schedule.
const LONGEST: Duration = Duration::from_millis(100);

/// How many commands are being carried out.
#[derive(Default)]
pub(super) struct Courtesy(watch::Sender<usize>);

/// A command that is being carried out, until it is dropped.
pub(super) struct Waited<'a>(&'a watch::Sender<usize>);

impl Courtesy {
    /// Somebody waits from now on.
    pub(super) fn somebody_waits(&self) -> Waited<'_> {
        self.0.send_modify(|n_waiting| *n_waiting += 1);
        Waited(&self.0)
    }

    /// Waits until nobody else does, or for long enough.
    pub(super) async fn give_way(&self) {
        // Its sender is here.
        let _ = timeout(LONGEST, self.0.subscribe().wait_for(|n_waiting| *n_waiting == 0)).await;
    }
}

impl Drop for Waited<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|n_waiting| *n_waiting -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_is_due_goes_on_when_nobody_waits_any_more() {
        let courtesy = Courtesy::default();
        courtesy.give_way().await;
        let waited = [courtesy.somebody_waits(), courtesy.somebody_waits()];
        let mut way = pin!(courtesy.give_way());
        for waited in waited {
            assert!(way.as_mut().now_or_never().is_none());
            drop(waited);
        }
        way.await;
    }

    #[tokio::test]
    async fn who_is_due_goes_on_though_somebody_waits_for_ever() {
        let courtesy = Courtesy::default();
        let _waited = courtesy.somebody_waits();
        courtesy.give_way().await;
    }
}
