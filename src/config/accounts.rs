//! `[accounts.<id>]`: the logins to keep alive.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use humantime::format_duration;

use super::{
    akuvox::{self, AkuvoxSettings},
    aqara::{self, AqaraSettings},
    errors::Findings,
    keeper::{self, KeeperSettings},
    mqtt::MqttSettings,
    section::Section,
};
use crate::{
    account::{AccountId, AmbiguousPolicy, BackOff},
    parallel,
};

/// One login at one vendor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSettings {
    pub id: AccountId,
    /// What people read instead of the id.
    pub name: Option<String>,
    pub vendor: VendorSettings,
    /// How often to refresh; none means by the expiry alone. Akuvox: 6 days by default. Aqara: none by default.
    pub refresh_every: Option<Duration>,
    /// How long before its expiry an access token is renewed at the latest. Akuvox: 1 day by default. Aqara: 5 min.
    pub safety_margin: Duration,
    /// The longest random time by which a refresh comes early. Akuvox: 10 min by default, Aqara: 30 s, and never more
    /// than a tenth of `refresh_every` unless it is given.
    pub jitter: Duration,
    pub ambiguous: AmbiguousPolicy,
    /// [`KeeperSettings::back_off`].
    pub back_off: BackOff,
    /// [`KeeperSettings::min_refresh_gap`] unless the account has one of its own.
    pub min_refresh_gap: Duration,
    /// Whether the admin API hands out the access token; false by default.
    pub share_access_token: bool,
}

/// The cloud of an account, and what only that cloud needs. Accounts that are configured alike share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VendorSettings {
    Akuvox(Arc<AkuvoxSettings>),
    Aqara(Arc<AqaraSettings>),
}

/// What a vendor's accounts get unless they are told otherwise, and how far it may go.
pub(super) struct Rhythm {
    pub(super) refresh_every: Option<Duration>,
    /// What to show as an example of `refresh_every`.
    pub(super) refresh_every_example: Duration,
    pub(super) refresh_every_longest: Duration,
    pub(super) safety_margin: Duration,
    pub(super) safety_margin_longest: Duration,
    pub(super) jitter: Duration,
}

#[derive(Clone, Copy)]
enum VendorName {
    Akuvox,
    Aqara,
}

const VENDORS: &[(&str, VendorName)] = &[("akuvox", VendorName::Akuvox), ("aqara", VendorName::Aqara)];

const POLICIES: &[(&str, AmbiguousPolicy)] = &[
    ("retry_once", AmbiguousPolicy::RetryOnce),
    ("wait_until_expiry", AmbiguousPolicy::WaitUntilExpiry),
    ("manual", AmbiguousPolicy::Manual),
];

pub(super) fn read(
    root: &mut Section<'_>,
    keeper: &KeeperSettings,
    mqtt: &MqttSettings,
) -> BTreeMap<AccountId, AccountSettings> {
    let named = root.section("accounts").into_named();
    if named.is_empty() {
        let mend = "add `[accounts.home]` with `vendor = \"akuvox\"` or `vendor = \"aqara\"`";
        root.report_missing("accounts", "at least one account", mend);
    }
    let (clouds, n_accounts) = (Clouds::default(), named.len());
    let results = parallel::map(named, |(name, found)| {
        let findings = Findings::default();
        let section = Section::of(format!("accounts.{name}"), Some(found), &findings);
        let account = read_named(name, section, keeper, mqtt);
        (account.map(|it| AccountSettings { vendor: clouds.shared(it.vendor), ..it }), findings)
    });
    // In a row before they are put in the map: with very many, what grows and what is put there one by one takes twice the room.
    let mut accounts = Vec::with_capacity(n_accounts);
    for (account, findings) in results {
        root.tell(findings);
        accounts.extend(account.map(|it| (it.id.clone(), it)));
    }
    accounts.into_iter().collect()
}

/// The clouds that were configured last: of very many accounts most are alike, and what they share is not even held twice
/// while they are read.
#[derive(Default)]
struct Clouds(Mutex<VecDeque<VendorSettings>>);

impl Clouds {
    /// As many as there are regions, and more than there are users' own applications in one configuration.
    const MOST: usize = 16;

    fn shared(&self, cloud: VendorSettings) -> VendorSettings {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same) = last.iter().find(|it| **it == cloud) {
            return same.clone();
        }
        last.truncate(Self::MOST - 1);
        last.push_front(cloud.clone());
        cloud
    }
}

fn read_named(
    name: &str,
    mut section: Section<'_>,
    keeper: &KeeperSettings,
    mqtt: &MqttSettings,
) -> Option<AccountSettings> {
    let id = name.parse::<AccountId>();
    match &id {
        Err(error) => section.report_itself(error.to_string(), "rename it, for example `[accounts.home]`"),
        Ok(id) if !mqtt.has_room_for(id) => {
            let why = "the topics of this account are those of `mqtt.reply_prefix`";
            section.report_itself(why, "rename the account, or change `mqtt.reply_prefix`");
        }
        Ok(_) => {}
    }
    let account = read_account(&mut section, id.ok(), keeper);
    section.finish();
    account
}

fn read_account(section: &mut Section<'_>, id: Option<AccountId>, keeper: &KeeperSettings) -> Option<AccountSettings> {
    let Some(vendor_name) = section.required_choice("vendor", VENDORS) else {
        // Which keys belong here is not known without the vendor.
        section.dismiss();
        return None;
    };
    let (vendor, rhythm) = match vendor_name {
        VendorName::Akuvox => (akuvox::read(section).map(Arc::new).map(VendorSettings::Akuvox), akuvox::RHYTHM),
        VendorName::Aqara => (aqara::read(section).map(Arc::new).map(VendorSettings::Aqara), aqara::RHYTHM),
    };
    let name = section.parsed_by("name", "Front door", |text| {
        let is_short = text.chars().count() <= 64;
        is_short.then(|| text.to_owned()).ok_or_else(|| "expected at most 64 characters".to_owned())
    });
    let refresh_every = section
        .optional_duration(
            "refresh_every",
            Duration::from_secs(1)..=rhythm.refresh_every_longest,
            rhythm.refresh_every_example,
        )
        .or(rhythm.refresh_every);
    let safety_margin =
        section.duration("safety_margin", Duration::ZERO..=rhythm.safety_margin_longest, rhythm.safety_margin);
    let default_jitter = refresh_every.map_or(rhythm.jitter, |it| rhythm.jitter.min(it / 10));
    let jitter = section.duration("jitter", Duration::ZERO..=Duration::from_secs(86_400), default_jitter);
    let ambiguous = section.choice("ambiguous", POLICIES).unwrap_or(AmbiguousPolicy::RetryOnce);
    let share_access_token = section.boolean("share_access_token", false);
    let min_refresh_gap = keeper::read_min_refresh_gap(section, keeper.min_refresh_gap);
    if let Some(refresh_every) = refresh_every {
        if refresh_every < jitter {
            section.report_invalid("jitter", "it is longer than `refresh_every`", "make it shorter");
        }
        if refresh_every < min_refresh_gap {
            let gap = format_duration(min_refresh_gap);
            let why = format!("it is shorter than `{}`, which is \"{gap}\"", keeper::MIN_REFRESH_GAP);
            section.report_invalid("refresh_every", why, "make it longer, or give the account a shorter gap");
        }
    }
    Some(AccountSettings {
        id: id?,
        name,
        vendor: vendor?,
        refresh_every,
        safety_margin,
        jitter,
        ambiguous,
        back_off: keeper.back_off,
        min_refresh_gap,
        share_access_token,
    })
}
