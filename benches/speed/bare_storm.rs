//! What a storm costs at the least: a loop that does nothing but ask the cloud, and the same loop with the durable steps and
//! the messages that a refresh has, and none of what decides about them.

use std::{
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use rumqttc::v5::{AsyncClient, mqttbytes::QoS};
use tokio::{
    sync::{Semaphore, oneshot},
    task::JoinSet,
};

use crate::{
    cloud::Clouds,
    floor::{BareJournal, BareLogin, client},
    row::quantile,
    talker::connect,
};

/// A loop is short, so it is run several times.
const N_RUNS: usize = 5;
/// As long as one of the two frames of a first refresh is on average, its state and its event, in bytes.
const FRAME: usize = 700;
const STATE: usize = 500;
const EVENT: usize = 60;

/// What every refresh does beside asking the cloud.
#[derive(Clone)]
pub(crate) struct Promises {
    steps: mpsc::Sender<oneshot::Sender<()>>,
    broker: AsyncClient,
}

/// Logins of a cloud that are renewed all together, again and again.
pub(crate) struct BareStorm {
    logins: Vec<BareLogin>,
    at_once: usize,
}

impl Promises {
    /// With a journal in this folder and a connection to this broker, both of which end with the last clone.
    pub(crate) fn begin(folder: &Path, mqtt_port: u16) -> Self {
        let (steps, waiting) = mpsc::channel::<oneshot::Sender<()>>();
        let mut journal = BareJournal::create(folder);
        thread::spawn(move || {
            while let Ok(first) = waiting.recv() {
                let batch: Vec<_> = std::iter::once(first).chain(waiting.try_iter()).collect();
                journal.append(batch.len() * FRAME);
                batch.into_iter().for_each(|it| it.send(()).unwrap());
            }
        });
        let (broker, mut eventloop) = connect(mqtt_port, "bare-storm");
        tokio::spawn(async move { while eventloop.poll().await.is_ok() {} });
        Self { steps, broker }
    }

    async fn step(&self) {
        let (done, is_done) = oneshot::channel();
        self.steps.send(done).unwrap();
        is_done.await.unwrap();
    }

    async fn tell(&self, number: usize) {
        let say = async |topic: &str, retain, len| {
            let topic = format!("bare/a{number}/{topic}");
            self.broker.publish(topic, QoS::AtLeastOnce, retain, vec![b'x'; len]).await.unwrap();
        };
        say("state", true, STATE).await;
        say("event", false, EVENT).await;
    }
}

impl BareStorm {
    pub(crate) fn new(clouds: &Clouds, n_accounts: usize, at_once: usize) -> Self {
        let client = client();
        let login = |it| BareLogin::new(client.clone(), clouds.gate(), clouds.account("akuvox", it));
        Self { logins: (0..n_accounts).map(login).collect(), at_once }
    }

    /// How long it takes to renew them all.
    pub(crate) async fn took(&mut self, promises: Option<&Promises>) -> Duration {
        let mut times = Vec::new();
        for _ in 0..N_RUNS {
            let (began, room) = (Instant::now(), Arc::new(Semaphore::new(self.at_once)));
            let mut under_way = JoinSet::new();
            for (number, mut login) in self.logins.drain(..).enumerate() {
                let (place, promises) = (room.clone().acquire_owned().await.unwrap(), promises.cloned());
                under_way.spawn(async move {
                    let _place = place;
                    match promises {
                        Some(promises) => {
                            promises.step().await;
                            login.renew().await;
                            promises.step().await;
                            promises.tell(number).await;
                        }
                        None => login.renew().await,
                    }
                    login
                });
            }
            self.logins = under_way.join_all().await;
            times.push(began.elapsed());
        }
        quantile(&mut times, 0.5)
    }
}
