//! Forgetting an account, and having it back.

use latchkey::{
    account::{Code, Condition, EventType},
    keeper::{Command, Reply, ReplyData},
};

use crate::bench::{Bench, DAY, FRONT, HOME, HOUR, House, code, id, in_time};

impl House {
    pub(crate) async fn forget(&self, name: &str) -> Reply {
        in_time(self.keeper.ask(Command::Forget { entry_id: id(name) })).await
    }

    pub(crate) async fn recall(&self, name: &str) -> Reply {
        in_time(self.keeper.ask(Command::Recall { entry_id: id(name) })).await
    }
}

#[tokio::test]
async fn a_forgotten_account_is_left_alone_and_comes_back_as_it_was() {
    let bench = Bench::new().await;
    let mut house = bench.settled(&[FRONT]).await;
    let before = house.status(FRONT);
    let Ok(ReplyData::Forgotten { until: Some(until), .. }) = house.forget(FRONT).await else { panic!() };
    assert_eq!(until, bench.now() + 30 * DAY);
    assert_eq!(house.event(FRONT, EventType::Forgotten).await.error, None);
    let status = house.status(FRONT);
    assert_eq!((status.condition, status.next_refresh_at, status.configured), (Condition::Missing, None, false));
    assert_eq!(code(&house.refresh(FRONT).await), Some(Code::NoRefreshToken));
    assert_eq!(code(&house.forget(FRONT).await), Some(Code::NoRefreshToken));

    let calls = bench.akuvox.counters().calls;
    house.stop().await;
    let mut house = bench.start(&[FRONT]);
    bench.hand.advance(3 * DAY);
    assert_eq!(bench.akuvox.counters().calls, calls, "nothing is asked for a forgotten account");
    assert!(matches!(house.recall(FRONT).await, Ok(ReplyData::Recalled { .. })));
    house.event(FRONT, EventType::Recalled).await;
    assert_eq!(house.status(FRONT).generation, before.generation);
    assert_eq!(house.status(FRONT).next_refresh_at, before.next_refresh_at);
    assert!(house.refresh(FRONT).await.is_ok());
    house.stop().await;
}

#[tokio::test]
async fn what_was_given_since_is_not_replaced_by_what_was_forgotten() {
    let bench = Bench::new().await;
    let house = bench.settled(&[HOME]).await;
    assert_eq!(code(&house.recall(HOME).await), Some(Code::NotForgotten));
    house.forget(HOME).await.unwrap();
    bench.aqara.sign_in(0);
    house.update(HOME, bench.pair_of(HOME)).await.unwrap();
    let error = house.recall(HOME).await.unwrap_err();
    assert_eq!(error.code, Code::NotForgotten);
    assert!(error.message.contains("new tokens are held"), "{error}");
    house.stop().await;
}

#[tokio::test]
async fn after_thirty_days_nothing_comes_back_whether_latchkey_ran_or_not() {
    let bench = Bench::new().await;
    let house = bench.settled(&[FRONT, HOME]).await;
    house.forget(FRONT).await.unwrap();
    house.stop().await;
    bench.hand.advance(30 * DAY + HOUR);
    let house = bench.start(&[FRONT]);
    assert_eq!(code(&house.recall(FRONT).await), Some(Code::NotForgotten));
    house.stop().await;
}
