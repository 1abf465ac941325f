//! Clouds that a request certainly did not reach: nothing is in doubt, and nothing is lost.

use std::time::Duration;

use latchkey::{
    account::{Code, Condition, EventType},
    demo::clouds::{AkuvoxCloud, Options, Places, Tls},
    vendor::{self, Http},
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

use super::bench::{Bench, FRONT, HOME, code};

/// Who answers instead of the cloud.
enum Impostor {
    /// Nobody has the name.
    UnknownName,
    /// Nobody listens.
    Closed,
    /// A certificate that nobody vouches for.
    UnknownCertificate,
    HangsUp,
    /// Another protocol than TLS.
    Babbles,
    /// No greeting ever comes.
    Silent,
}

impl Impostor {
    /// The address to be asked instead of the cloud's; what is behind it lives as long as what comes with it.
    async fn address(&self) -> (String, Option<AkuvoxCloud>) {
        match self {
            Self::UnknownName => ("https://cloud.invalid".to_owned(), None),
            Self::Closed => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                (format!("https://{}", listener.local_addr().unwrap()), None)
            }
            Self::UnknownCertificate => {
                let certificate = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
                let (pem, key) = (certificate.cert.pem(), certificate.signing_key.serialize_pem());
                let places =
                    Places { tls: Some(Tls::from_pem(pem.as_bytes(), key.as_bytes()).unwrap()), ..Places::default() };
                let options = Options { places, ..Options::default() };
                let cloud = AkuvoxCloud::start(([127, 0, 0, 1], 0).into(), options).await.unwrap();
                (cloud.url().to_owned(), Some(cloud))
            }
            Self::HangsUp => (serve(|stream| async move { drop(stream) }).await, None),
            Self::Babbles => {
                let babble = |mut stream: TcpStream| async move {
                    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
                };
                (serve(babble).await, None)
            }
            Self::Silent => {
                let keep = |stream: TcpStream| async move {
                    tokio::time::sleep(Duration::from_secs(3600)).await;
                    drop(stream);
                };
                (serve(keep).await, None)
            }
        }
    }
}

/// Does this with every connection; gives the address.
async fn serve<F: Future<Output = ()> + Send + 'static>(with: impl Fn(TcpStream) -> F + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(with(stream));
        }
    });
    url
}

#[tokio::test]
async fn a_name_that_is_unknown_and_a_greeting_that_fails_leave_nothing_in_doubt_and_lose_nothing() {
    let impostors = [
        Impostor::UnknownName,
        Impostor::Closed,
        Impostor::UnknownCertificate,
        Impostor::HangsUp,
        Impostor::Babbles,
        Impostor::Silent,
    ];
    let bench = Bench::new().await;
    bench.settled(&[FRONT, HOME]).await.stop().await;
    let calls = (bench.akuvox.counters().calls, bench.aqara.counters().calls);
    for impostor in impostors {
        let (address, _behind) = impostor.address().await;
        let elsewhere = bench.settings_at(&address);
        let http = Http::new(Duration::from_secs(2), bench.clock.clone()).unwrap();
        let vendor =
            |settings: &latchkey::config::AccountSettings, _| vendor::connect(&elsewhere.accounts[&settings.id], &http);
        let mut house = bench.start_on(bench.open().1, &[FRONT, HOME], vendor);
        for name in [FRONT, HOME] {
            bench.hand.advance(super::bench::HOUR);
            assert_eq!(code(&house.refresh(name).await), Some(Code::Unreachable), "{address}");
            let told = house.event(name, EventType::RefreshFailed).await;
            assert_eq!(told.error, Some(Code::Unreachable), "{address}");
            let status = house.status(name);
            assert_eq!((status.condition, status.cloud), (Condition::Ok, false), "{address}");
        }
        house.stop().await;
    }
    assert_eq!((bench.akuvox.counters().calls, bench.aqara.counters().calls), calls);
    let house = bench.start(&[FRONT, HOME]);
    bench.hand.advance(super::bench::HOUR);
    for name in [FRONT, HOME] {
        house.refresh(name).await.unwrap();
        assert_eq!(house.status(name).condition, Condition::Ok);
    }
    house.stop().await;
    assert_eq!((bench.akuvox.counters().replays, bench.aqara.counters().replays), (0, 0));
}
