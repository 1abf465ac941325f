//! Calls that need an access token: it is fetched on first use, renewed when it ended, and renewed once on a rejection.

use std::{sync::Arc, time::Duration};

use tracing::{info, warn};

use crate::{
    account::{Class, Code, Inventory, Secret, find_target},
    vendor::VendorError,
};

use super::{
    Shared,
    command::{CommandError, Reply, ReplyData},
    flight::{Errand, Landing},
    keeping::Keeping,
    limits::Purpose,
    notice::Trigger,
};

/// An access token this near its end is renewed before it is used.
const BUFFER: Duration = Duration::from_secs(5 * 60);

impl Shared {
    /// Runs a scene once. Where it is unknown whether it ran, it is not repeated and the reply says so.
    pub(super) async fn trigger_scene(self: &Arc<Self>, keeping: &Arc<Keeping>, scene: &str) -> Reply {
        if !keeping.vendor.rules().has_scenes {
            return Err(CommandError::new(Code::NotSupported, &keeping.id));
        }
        let Some(scene_id) = scene_id(&keeping.vendor.configured(), scene) else {
            // It is not quoted: it may be a token in the wrong place.
            return Err(CommandError::new(Code::UnknownScene, &keeping.id));
        };
        let (access, generation) = self.live_access(keeping, None).await?;
        let mut result = self.call(keeping, &access, &scene_id).await;
        if matches!(&result, Err(failure) if failure.class == Class::AccessRejected) {
            let (access, _) = self.live_access(keeping, Some(generation)).await?;
            result = self.call(keeping, &access, &scene_id).await;
        }
        match result {
            Ok(()) => {
                info!(account = %keeping.id, scene, "scene triggered");
                Ok(ReplyData::Triggered { entry_id: keeping.id.clone(), scene: scene.to_owned() })
            }
            Err(failure) => {
                warn!(account = %keeping.id, scene, code = %failure.code, "scene not triggered: {failure}");
                Err(not_done(keeping, &failure))
            }
        }
    }

    async fn call(&self, keeping: &Keeping, access: &Secret, scene_id: &str) -> Result<(), VendorError> {
        if let Err(wait) = self.spend_call(keeping, Purpose::Call) {
            return Err(VendorError::new(Class::Throttled { retry_after: Some(wait) }, Code::Throttled));
        }
        let result = keeping.vendor.trigger_scene(access, scene_id).await;
        let was_reached =
            !matches!(&result, Err(failure) if matches!(failure.code, Code::Unreachable | Code::NoAnswer));
        keeping.note_present(|present| present.is_cloud_reached = Some(was_reached));
        result
    }

    /// A usable access token and its generation. `rejected`: the generation whose token the vendor rejected.
    pub(super) async fn live_access(
        self: &Arc<Self>,
        keeping: &Arc<Keeping>,
        rejected: Option<u64>,
    ) -> Result<(Secret, u64), CommandError> {
        let held = held_access(self, keeping, rejected);
        if let Some(held) = held.as_ref().filter(|it| it.is_fresh) {
            return Ok((held.access.clone(), held.generation));
        }
        let landing = self.refresh_for_call(keeping).await;
        // What is near its end still serves where a refresh fails.
        if let Some(renewed) = held_access(self, keeping, rejected) {
            return Ok((renewed.access, renewed.generation));
        }
        let code = match landing? {
            Landing::Renewed { .. } | Landing::LoggedIn { .. } | Landing::CheckedIn => Code::AccessRejected,
            Landing::Failed { code, .. } | Landing::CandidateRefused(code) => code,
        };
        Err(CommandError::new(code, &keeping.id))
    }

    async fn refresh_for_call(self: &Arc<Self>, keeping: &Arc<Keeping>) -> Result<Landing, CommandError> {
        let may_start = || {
            let record = keeping.record();
            let is_empty = record.current.as_ref().is_some_and(|it| it.access.is_none());
            let is_first_fill = is_empty && record.setbacks.consecutive == 0 && record.next_to_spend().is_some();
            match record.dead {
                None if is_first_fill => self.is_patience_over(keeping),
                _ => self.may_refresh_now(keeping),
            }
        };
        Ok(self.launch(keeping, Errand::Refresh(Trigger::Call), may_start)?.land().await)
    }
}

pub(super) fn not_done(keeping: &Keeping, failure: &VendorError) -> CommandError {
    let id = &keeping.id;
    match failure.class {
        Class::Ambiguous => CommandError::new(Code::OutcomeUnknown, id).because(failure),
        Class::Throttled { retry_after: Some(wait) } => {
            CommandError::too_soon(id, failure.code, wait.as_secs() + 1).because(failure)
        }
        Class::Transient => {
            let hint = "It was not done; try again.".to_owned();
            CommandError { hint, ..CommandError::new(failure.code, id).because(failure) }
        }
        _ => CommandError::new(failure.code, id).because(failure),
    }
}

/// The vendor's id of a scene: of one that is known, or the id that was given.
fn scene_id(inventory: &Inventory, scene: &str) -> Option<String> {
    find_target(&inventory.scenes, scene)
        .map(|it| it.id.clone())
        .or_else(|| is_scene_id(scene).then(|| scene.to_owned()))
}

/// `AL.` and digits (protocol/aqara.md §5.5).
fn is_scene_id(text: &str) -> bool {
    text.strip_prefix("AL.").is_some_and(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()))
}

struct HeldAccess {
    access: Secret,
    generation: u64,
    /// Far enough from its end to be used without a thought.
    is_fresh: bool,
}

/// The access token at hand, unless it ended or is the rejected one.
fn held_access(shared: &Shared, keeping: &Keeping, rejected: Option<u64>) -> Option<HeldAccess> {
    let now = shared.clock.now();
    let record = keeping.record();
    let grant = record.current.as_ref().filter(|it| Some(it.generation) != rejected)?;
    let access = grant.live_access(now)?.clone();
    let is_fresh = grant.access_expires_at.is_none_or(|end| {
        let life = Duration::try_from(end.duration_since(grant.issued_at)).unwrap_or_default();
        now.checked_add(BUFFER.min(life / 4)).is_ok_and(|then| then < end)
    });
    Some(HeldAccess { access, generation: grant.generation, is_fresh })
}
