//! The vendor's own app on the resident's phone, which renews the session or signs in without asking anyone.

use serde::{Deserialize, Serialize};

use super::{
    cloud::Cloud,
    engine::Engine,
    grants::{RefreshRefusal, Seat},
    simulation::Simulation,
};

/// What the app does. Whoever else held the pair is left with a dead one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhoneAct {
    /// It renews the session and keeps the new pair to itself.
    Refresh,
    /// Its user signs in anew, by the app's own way.
    SignIn,
    /// It renews the session and hands the new pair on, for `update_tokens`.
    Push,
}

impl<S: Simulation> Cloud<S> {
    /// Lets the app on the phone of an account's owner act. Answers what it holds afterwards.
    ///
    /// # Errors
    /// The session had ended, so that there was nothing to renew.
    pub fn phone(&self, account: usize, act: PhoneAct) -> Result<S::Credentials, RefreshRefusal> {
        self.engine.phone(account, act)
    }
}

impl<S: Simulation> Engine<S> {
    pub(super) fn phone(&self, account: usize, act: PhoneAct) -> Result<S::Credentials, RefreshRefusal> {
        self.change(|core| {
            let now = self.now(core);
            let rules = S::rules(&core.knobs);
            let pair = match act {
                PhoneAct::SignIn => core.grants.log_in_to(Seat::Owner, account, None, now, &rules),
                PhoneAct::Refresh | PhoneAct::Push => {
                    let held = core.grants.newest(account).0.clone();
                    let access_token = Some(held.access_token.as_str());
                    core.grants.refresh(&held.refresh_token, access_token, false, now, &rules)?.pair
                }
            };
            core.counters.phone_acts += 1;
            Ok(core.simulation.credentials(&core.knobs, account, &pair))
        })
    }
}
