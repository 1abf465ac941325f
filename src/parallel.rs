//! Work that all processors share at the start, where there may be very many accounts.

use std::{
    num::NonZero,
    panic::resume_unwind,
    thread::{self, ScopedJoinHandle},
};

/// Fewer are read before a thread for them is made.
const WORTH_A_THREAD: usize = 500;

/// What `work` makes of each thing, in their order.
pub(crate) fn map<T: Send, R: Send>(things: Vec<T>, work: impl Fn(T) -> R + Sync) -> impl Iterator<Item = R> {
    map_on(thread::available_parallelism().map_or(1, NonZero::get), things, work)
}

/// Does both at once; `there` in a thread of its own, where there can be one.
pub(crate) fn both<A, B: Send>(here: impl FnOnce() -> A, there: impl Fn() -> B + Sync) -> (A, B) {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, &there);
        let done_here = here();
        (done_here, thread.map_or_else(|_| there(), result_of))
    })
}

fn map_on<T: Send, R: Send>(
    n_threads: usize,
    mut things: Vec<T>,
    work: impl Fn(T) -> R + Sync,
) -> impl Iterator<Item = R> {
    let share = things.len().div_ceil(n_threads).max(WORTH_A_THREAD);
    let work_through = |things: Vec<T>| things.into_iter().map(&work).collect::<Vec<R>>();
    thread::scope(|scope| {
        let mut others = Vec::new();
        while share < things.len() {
            let last = things.split_off(things.len() - share);
            others.push(scope.spawn(|| work_through(last)));
        }
        let mut results = vec![work_through(things)];
        results.extend(others.into_iter().rev().map(result_of));
        results.into_iter().flatten()
    })
}

fn result_of<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn what_comes_of_things_stands_in_their_order_however_many_there_are() {
        for n_things in [0, 1, WORTH_A_THREAD, WORTH_A_THREAD + 1, 100 * WORTH_A_THREAD + 7] {
            for n_threads in [1, 2, 5] {
                let doubled = map_on(n_threads, (0..n_things).collect(), |it| 2 * it);
                assert_eq!(doubled.collect::<Vec<_>>(), Vec::from_iter((0..n_things).map(|it| 2 * it)));
            }
        }
    }

    #[test]
    fn a_panic_goes_on_in_who_asked() {
        let things = Vec::from_iter(0..10 * WORTH_A_THREAD);
        assert!(catch_unwind(|| map_on(3, things, |it| assert!(it != 9 * WORTH_A_THREAD))).is_err());
    }
}
