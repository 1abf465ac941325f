//! What other processes see of a running Latchkey, and what is left of it after a crash.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, chown},
        process::{CommandExt, ExitStatusExt},
    },
    path::Path,
    process::{Command, Stdio},
};

use crate::support::latchkey::{Bench, CONNECTED, Latchkey, latchkey, output};

const PASSWORD: &str = "Canary-in-the-environment-0123456789";

/// Users that no machine has. Root sees everything, so where the tests are run by root, these stand in.
const SERVICE: u32 = 54_001;
const STRANGER: u32 = 54_002;

/// The configuration of a bench, to be run by [`SERVICE`] where there is a choice.
fn for_a_user_of_its_own(bench: &Bench) -> (Command, bool) {
    let file = bench.configuration();
    let is_root = fs::metadata(&file).unwrap().uid() == 0;
    let program = bench.folder.path().join("latchkey");
    // Where it was built, others may have no way to it.
    fs::copy(env!("CARGO_BIN_EXE_latchkey"), &program).unwrap();
    let mut command = Command::new(&program);
    command.args(["run", "--config"]).arg(&file).current_dir(bench.folder.path());
    if is_root {
        for path in [bench.folder.path(), &file, &program] {
            chown(path, Some(SERVICE), Some(SERVICE)).unwrap();
        }
        command.uid(SERVICE).gid(SERVICE);
    }
    (command, is_root)
}

/// Whether `user`, or else this one, can read what lies at `path`.
fn can_read(path: &str, user: Option<u32>) -> bool {
    let mut command = Command::new(if path.ends_with('/') { "ls" } else { "cat" });
    command.arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    command.status().unwrap().success()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_other_process_reads_the_memory_or_the_environment_not_even_one_of_the_same_user() {
    let mut bench = Bench::new().await;
    bench.mqtt = "username = \"latchkey\"\n".to_owned();
    let (mut command, is_root) = for_a_user_of_its_own(&bench);
    command.env("LATCHKEY__MQTT__PASSWORD", PASSWORD).env_remove("RUST_LOG");
    let mut sleeper = Command::new("sleep");
    sleeper.arg("600");
    if is_root {
        sleeper.uid(SERVICE).gid(SERVICE);
    }
    let mut sleeper = sleeper.spawn().unwrap();
    let latchkey = Latchkey::start(command);
    latchkey.logged(CONNECTED).await;
    let users = if is_root { vec![Some(SERVICE), Some(STRANGER)] } else { vec![None] };
    for name in ["environ", "maps", "auxv", "fd/"] {
        for user in &users {
            let path = format!("/proc/{}/{name}", latchkey.pid());
            assert!(!can_read(&path, *user), "{user:?} reads {path}");
        }
        assert!(can_read(&format!("/proc/{}/{name}", sleeper.id()), users[0]), "{name} cannot be read of anybody");
    }
    // What everybody sees, of this process and of every other.
    let arguments = fs::read(format!("/proc/{}/cmdline", latchkey.pid())).unwrap();
    assert!(!String::from_utf8_lossy(&arguments).contains("Canary"));
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    assert!(latchkey.stop().await.success());
}

#[tokio::test]
async fn a_crash_leaves_no_core_file_and_tells_no_secret() {
    let bench = Bench::new().await;
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -c unlimited; exec \"$0\" run --config \"$1\""]);
    command.arg(env!("CARGO_BIN_EXE_latchkey")).arg(bench.configuration()).current_dir(bench.folder.path());
    let mut latchkey = Latchkey::start(command);
    latchkey.logged(CONNECTED).await;
    let client = bench.client().await;
    bench.sign_in(&client).await;
    if cfg!(target_os = "linux") {
        let limits = fs::read_to_string(format!("/proc/{}/limits", latchkey.pid())).unwrap();
        let of_cores = limits.lines().find(|it| it.starts_with("Max core file size")).unwrap();
        let figures: Vec<&str> = of_cores.split_whitespace().skip(4).collect();
        assert_eq!(figures, ["0", "0", "bytes"]);
    }
    latchkey.signal("ABRT");
    let status = latchkey.ended().await;
    assert!(status.signal().is_some() && !status.core_dumped(), "{status}");
    let is_core = |it: &Path| it.file_name().is_some_and(|it| it.to_string_lossy().starts_with("core"));
    let left = fs::read_dir(bench.folder.path()).unwrap().map(|it| it.unwrap().path());
    assert_eq!(left.filter(|it| is_core(it)).count(), 0);
    for secret in [bench.akuvox.credentials(0).refresh_token, bench.aqara.credentials(0).refresh_token] {
        assert!(!latchkey.log().contains(&secret));
    }
}

/// What stands on a command line is seen by everybody on the machine.
#[tokio::test]
async fn no_command_takes_a_secret_as_an_argument() {
    let help = output(latchkey(&["help"])).await;
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.split_once("Commands:").unwrap().1.lines().skip(1).map_while(|it| it.split_whitespace().next());
    let commands: Vec<&str> = commands.collect();
    assert!(commands.contains(&"tokens") && commands.contains(&"login"), "{commands:?}");
    for subcommand in commands.into_iter().chain(["tokens set"]) {
        let arguments: Vec<&str> = subcommand.split(' ').chain(["--help"]).collect();
        let help = output(latchkey(&arguments)).await;
        let help = String::from_utf8(help.stdout).unwrap();
        for word in ["TOKEN>", "SECRET>", "PASSWORD>", "PASSPHRASE>", "CODE>", "KEY>"] {
            assert!(!help.contains(word), "{subcommand}: {help}");
        }
    }
}
