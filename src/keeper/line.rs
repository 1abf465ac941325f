//! Who is due stands in line at its host: as an id and nothing more, since thousands may fall due together. A refresh
//! begins when there is a turn for it and no command to give way to; one that somebody waits for does not stand in line at
//! all.

use std::sync::Arc;

use tokio::time::timeout;

use super::{Shared, flight::LONGEST_TURN, keeping::Keeping, notice::Trigger};

impl Shared {
    /// Puts an account that is due at the end of its host's line.
    pub(super) fn line_up(self: &Arc<Self>, keeping: &Keeping) {
        let host = keeping.vendor.host();
        if self.limits.line_up(host, keeping.id.clone()) {
            let (shared, host) = (self.clone(), host.to_owned());
            self.tasks.spawn(async move { shared.serve_line(&host).await });
        }
    }

    /// Refreshes one after the other, until nobody stands in line.
    async fn serve_line(self: Arc<Self>, host: &str) {
        loop {
            self.courtesy.give_way().await;
            let Some(account) = self.limits.next_in_line(host) else { return };
            let Some(keeping) = self.kept(&account) else { continue };
            if self.stopping.is_cancelled() || !keeping.is_due(self.clock().now()) {
                self.plan(&account);
                continue;
            }
            let flight = self.refresh(&keeping, Trigger::Schedule);
            let _ = timeout(LONGEST_TURN, flight.land()).await;
        }
    }
}
