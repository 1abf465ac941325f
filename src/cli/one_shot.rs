//! A command without a store: the refresh token comes from a file, and its successor goes back there.
//!
//! Beside the file stands a store of its own for as long as the command runs. So a refresh is what it always is: the
//! attempt and the new tokens are durable before they are used, whatever happens. When all is done the file holds the
//! token that is good, and the store is removed; where it is not (a kill, a lost reply), it stays and the next run opens it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use zeroize::Zeroizing;

use crate::{
    account::{AccountId, Proposal, ProposedTokens, Record, Secret},
    clock::Clock,
    config::{Settings, StoreKey},
    keeper::Command,
    service,
    store::{SledStore, Watched, install_private},
};

use super::{
    alone::Alone,
    answer::{Answer, Trouble},
    terminal,
};

/// Carries a command out for `entry_id`, whose refresh token is in `file`.
pub(super) async fn ask(settings: &Settings, entry_id: &AccountId, file: &Path, command: Command) -> Answer {
    let token = read(file)?;
    let folder = folder_beside(file);
    let mut settings = settings.clone();
    settings.accounts.retain(|id, _| id == entry_id);
    settings.store.key = StoreKey::File(folder.join("key"));
    settings.store.path.clone_from(&folder);
    let clock = Clock::system();
    let (store, report) = SledStore::open(service::store_settings(&settings), clock.clone())?;
    let fingerprints = store.fingerprint_key();
    let mirror = Arc::new(Mutex::new(Mirror::new(entry_id, file, &token)));
    let watch = {
        let mirror = mirror.clone();
        move |id: &AccountId, record: &Record| mirror.lock().unwrap_or_else(PoisonError::into_inner).note(id, record)
    };
    let alone = Alone::over(&settings, Arc::new(Watched::new(store, watch)), fingerprints, Some(report), clock)?;
    let answer = terminal::patiently("waiting for the cloud", prove_and_ask(&alone, entry_id, token, command)).await;
    alone.stop().await;
    let leftover = mirror.lock().unwrap_or_else(PoisonError::into_inner).why_kept.clone();
    let Some(why) = leftover else {
        // What cannot be removed is found by the next run, which does no harm.
        let _ = fs::remove_dir_all(&folder);
        return answer;
    };
    let hint = format!("What is known is sealed in {}; run this again to go on from there.", folder.display());
    match answer {
        Ok(_) => {
            let message = format!("it was done, but {} could not be brought up to date: {why}", file.display());
            Err(Trouble::new("kept_beside", message, hint))
        }
        Err(first) => Err(Trouble { hint: format!("{} {hint}", first.hint), ..first }),
    }
}

async fn prove_and_ask(alone: &Alone, entry_id: &AccountId, token: Secret, command: Command) -> Answer {
    let tokens = ProposedTokens::Refresh(token);
    let proposal = Proposal { tokens, auth_token: None, issued_at: None, prove: true };
    match alone.ask(Command::UpdateTokens { entry_id: entry_id.clone(), proposal }).await {
        // A run before this one has spent it, and holds its successor.
        Err(trouble) if trouble.code != "already_spent" => Err(trouble),
        _ => alone.ask(command).await,
    }
}

/// Keeps the file up to date: it hears of every record that is durable, before anybody uses what is in it.
struct Mirror {
    account: AccountId,
    file: PathBuf,
    in_file: Secret,
    /// Why the store must stay, if it must.
    why_kept: Option<String>,
    has_others: bool,
}

impl Mirror {
    fn new(account: &AccountId, file: &Path, token: &Secret) -> Self {
        Self {
            account: account.clone(),
            file: file.to_owned(),
            in_file: token.clone(),
            why_kept: None,
            has_others: false,
        }
    }

    /// Writes the token that is to be spent next, if it is not the one in the file. Where that fails, the store has it.
    fn note(&mut self, account: &AccountId, record: &Record) {
        self.has_others |= *account != self.account;
        self.why_kept = if self.has_others {
            Some("it was used for another account before".to_owned())
        } else if record.unread.is_some() {
            Some("the answer of the cloud could not be read".to_owned())
        } else if is_in_doubt(record) {
            Some("no answer came, so it is not known whether its token is spent".to_owned())
        } else {
            self.write(record).err().map(|error| error.to_string())
        };
    }

    fn write(&mut self, record: &Record) -> std::io::Result<()> {
        let token = record.current.as_ref().and_then(|it| it.refresh.as_ref());
        let Some(token) = token.filter(|it| **it != self.in_file) else { return Ok(()) };
        // A link stays a link, to a file of its owner alone.
        let file = self.file.canonicalize()?;
        install_private(&file, Zeroizing::new(format!("{}\n", token.expose())).as_bytes())?;
        if let Some(folder) = file.parent() {
            File::open(folder)?.sync_all()?;
        }
        self.in_file = token.clone();
        Ok(())
    }
}

fn is_in_doubt(record: &Record) -> bool {
    let is_candidate_doubted = record.candidate.as_ref().is_some_and(|it| it.doubted_since.is_some());
    record.attempt.is_some() || record.doubt.is_some() || is_candidate_doubted
}

fn read(file: &Path) -> Result<Secret, Trouble> {
    let text = terminal::read_all(Some(file))?;
    let token = Secret::new(text.expose().trim());
    if token.expose().is_empty() || !token.expose().bytes().all(|it| it.is_ascii_graphic()) {
        let hint = "Put the refresh token alone into it, on one line.";
        return Err(Trouble::usage(format!("{} holds no refresh token", file.display()), hint));
    }
    Ok(token)
}

/// `token.txt.latchkey` for `token.txt`, whatever link leads to it.
fn folder_beside(file: &Path) -> PathBuf {
    let real = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let mut name = real.into_os_string();
    name.push(".latchkey");
    name.into()
}
