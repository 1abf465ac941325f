//! What is done by a vendor's hand: a scene is run, a door is opened, what there is is listed.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tracing::{info, warn};

use crate::{
    account::{AccountId, Class, Code, Inventory, Secret, Target, find_shown_or_listed},
    vendor::{Budget, Toll, Vendor, VendorError, VendorKind},
};

use super::{
    Shared,
    access::{Call, CallFailure},
    command::{CommandError, Reply, ReplyData},
    keeping::Keeping,
};

/// By the vendor's id.
struct RunScene<'a>(&'a str);

/// By the vendor's id.
struct OpenDoor<'a>(&'a str);

impl Shared {
    /// Runs a scene once. Where it is unknown whether it ran, it is not repeated and the reply says so.
    pub(super) async fn trigger_scene(self: &Arc<Self>, keeping: &Arc<Keeping>, scene: &str) -> Reply {
        if !keeping.vendor.rules().has_scenes {
            return Err(CommandError::new(Code::NotSupported, &keeping.id));
        }
        let by_id = || is_scene_id(scene).then(|| Target::discovered(scene, scene));
        let target = match self.known_target(keeping, scene, |it| &it.scenes).or_else(by_id) {
            Some(target) => target,
            None => self.listed_target(keeping, scene, |it| &it.scenes, Code::UnknownScene).await?,
        };
        match self.call(keeping, RunScene(&target.id)).await {
            Ok(()) => {
                info!(account = %keeping.id, scene = target.key, "scene triggered");
                Ok(ReplyData::Triggered { entry_id: keeping.id.clone(), scene: scene.to_owned() })
            }
            Err(failure) => {
                let error = self.not_done(keeping, failure);
                warn!(account = %keeping.id, scene = target.key, code = %error.code, "scene not triggered: {error}");
                Err(error)
            }
        }
    }

    /// Opens a door at most once. Where it is unknown whether it opened, it is not repeated and the reply says so.
    pub(super) async fn open_door(self: &Arc<Self>, keeping: &Arc<Keeping>, door: &str) -> Reply {
        if !keeping.vendor.rules().has_doors {
            let code = match keeping.kind() {
                VendorKind::Akuvox => Code::DoorsOff,
                VendorKind::Aqara => Code::NotSupported,
            };
            return Err(CommandError::new(code, &keeping.id));
        }
        let target = match self.known_target(keeping, door, |it| &it.doors) {
            Some(target) => target,
            None => self.listed_target(keeping, door, |it| &it.doors, Code::UnknownDoor).await?,
        };
        match self.call(keeping, OpenDoor(&target.id)).await {
            Ok(()) => {
                info!(account = %keeping.id, door = target.key, "door opened");
                Ok(ReplyData::Opened { entry_id: keeping.id.clone(), door: door.to_owned() })
            }
            Err(failure) => {
                let error = self.not_done(keeping, failure);
                warn!(account = %keeping.id, door = target.key, code = %error.code, "door not opened: {error}");
                Err(error)
            }
        }
    }

    /// Asks the vendor, whatever is known.
    pub(super) async fn list_scenes(self: &Arc<Self>, keeping: &Arc<Keeping>) -> Reply {
        if !keeping.vendor.rules().has_scenes {
            return Err(CommandError::new(Code::NotSupported, &keeping.id));
        }
        self.list(keeping, |_| true).await.map_err(|it| self.not_listed(keeping, it))?;
        Ok(ReplyData::Scenes { entry_id: keeping.id.clone(), scenes: self.inventory(keeping).scenes })
    }

    /// Asks the vendor for doors and scenes where what is known is nothing or old.
    pub(super) async fn look_around(self: &Arc<Self>, keeping: &Arc<Keeping>) -> Result<(), CommandError> {
        let rules = keeping.vendor.rules();
        if !rules.has_doors && !rules.has_scenes {
            return Ok(());
        }
        self.list(keeping, |is_old| is_old).await.map_err(|it| self.not_listed(keeping, it))
    }

    fn known_target(&self, keeping: &Keeping, text: &str, of: fn(&Inventory) -> &[Target]) -> Option<Target> {
        let (shown, listed) = (self.inventory(keeping), self.listed(keeping));
        find_shown_or_listed(of(&shown), of(&listed), text).cloned()
    }

    /// What is not known is looked for at the vendor, unless it was asked within a day.
    async fn listed_target(
        self: &Arc<Self>,
        keeping: &Arc<Keeping>,
        text: &str,
        of: fn(&Inventory) -> &[Target],
        unknown: Code,
    ) -> Result<Target, CommandError> {
        match self.list(keeping, |is_old| is_old).await {
            // A vendor that lists nothing: what the user named is all there is.
            Err(CallFailure::Vendor(failure)) if failure.code == Code::NotSupported => {}
            listed => listed.map_err(|it| self.not_listed(keeping, it))?,
        }
        // What was asked for is not quoted: it may be a token in the wrong place.
        self.known_target(keeping, text, of).ok_or_else(|| CommandError::new(unknown, &keeping.id))
    }

    pub(super) fn not_done(&self, keeping: &Keeping, failure: CallFailure) -> CommandError {
        match failure {
            CallFailure::Vendor(failure) if failure.class == Class::Ambiguous => {
                CommandError::new(Code::OutcomeUnknown, &keeping.id).because(failure)
            }
            failure => self.failed(keeping, failure),
        }
    }

    /// A listing has no outcome that could be unknown.
    fn not_listed(&self, keeping: &Keeping, failure: CallFailure) -> CommandError {
        let error = match failure {
            CallFailure::Vendor(failure) if failure.code == Code::UnreadableAnswer => {
                let hint = "What was listed before still holds; try again later.".to_owned();
                CommandError { hint, ..CommandError::new(Code::VendorBusy, &keeping.id).because(failure) }
            }
            failure => self.failed(keeping, failure),
        };
        warn!(account = %keeping.id, code = %error.code, "doors and scenes not listed: {error}");
        error
    }

    fn failed(&self, keeping: &Keeping, failure: CallFailure) -> CommandError {
        let (id, retry_after) = (&keeping.id, failure.retry_after());
        match failure {
            CallFailure::NoAccess(error) => error,
            CallFailure::NoRoom(_) => throttled(id, retry_after, self.limit(keeping, true)),
            CallFailure::Vendor(failure) => match failure.class {
                Class::Throttled { .. } => throttled(id, retry_after, self.limit(keeping, false)).because(failure),
                Class::Transient => {
                    let hint = "It was not done; try again.".to_owned();
                    CommandError { hint, ..CommandError::new(failure.code, id).because(failure) }
                }
                // The code says it all.
                Class::Target if failure.vendor_code.is_none() => CommandError::new(failure.code, id),
                _ => CommandError::new(failure.code, id).because(failure),
            },
        }
    }

    /// Which limit was reached, in words.
    fn limit(&self, keeping: &Keeping, is_ours: bool) -> String {
        let own = || "The vendor set the limit.".to_owned();
        let Some(budget) = keeping.vendor.budget() else { return own() };
        let used = self.quotas.used(&budget, self.clock().now());
        match budget {
            Budget { calls, per, kept_for_refreshes, .. } if is_ours => {
                let per = humantime::format_duration(per);
                format!(
                    "The accounts of one app share {calls} calls in {per}, of which {kept_for_refreshes} are kept for refreshes."
                )
            }
            Budget { per_month, .. } if per_month <= used.this_month => {
                format!("The {per_month} calls of this month are used, by Latchkey's count.")
            }
            Budget { in_all, .. } if in_all <= used.in_all => {
                format!("The {in_all} calls that the app has in all are used, by Latchkey's count.")
            }
            Budget { .. } => own(),
        }
    }
}

#[async_trait]
impl Call for RunScene<'_> {
    type Answer = ();

    async fn make(&self, vendor: &dyn Vendor, access: &Secret, toll: &dyn Toll) -> Result<(), VendorError> {
        toll.take()?;
        vendor.trigger_scene(access, self.0).await
    }
}

#[async_trait]
impl Call for OpenDoor<'_> {
    type Answer = ();

    async fn make(&self, vendor: &dyn Vendor, access: &Secret, toll: &dyn Toll) -> Result<(), VendorError> {
        toll.take()?;
        vendor.open_door(access, self.0).await
    }
}

fn throttled(id: &AccountId, retry_after: Option<Duration>, limit: String) -> CommandError {
    let Some(wait) = retry_after else {
        return CommandError { hint: format!("{limit} Try again later."), ..CommandError::new(Code::Throttled, id) };
    };
    let error = CommandError::too_soon(id, Code::Throttled, wait.as_secs() + 1);
    CommandError { hint: format!("{limit} {}", error.hint), ..error }
}

/// `AL.` and digits (protocol/aqara.md §5.5).
fn is_scene_id(text: &str) -> bool {
    text.strip_prefix("AL.").is_some_and(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()))
}
