//! What was found when the store was opened, as the accounts that it touched are told of it.

use crate::{account::EventType, store::OpenReport};

use super::{Keeper, notice::Trigger};

impl Keeper {
    /// Tells of damage to the store. To be called once those who listen do.
    pub fn tell_of_opening(&self, report: &OpenReport) {
        for keeping in self.0.roster().kept.values() {
            if report.is_unproven(&keeping.id) || report.unreadable.contains(&keeping.id) {
                keeping.happened(EventType::StoreDamaged, Trigger::Start, None);
            } else if report.is_mended(&keeping.id) {
                keeping.happened(EventType::StoreMended, Trigger::Start, None);
            }
        }
    }
}
