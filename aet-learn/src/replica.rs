//! Replicas of a network that work on parts of one batch at the same time, each on its own device and
//! thread. While they run they can [`exchange`] tensors, which is how batch normalisation takes its
//! statistics over all of them (synchronised batch normalisation).
//!
//! Replicas that exchange share one graph of autodiff, and Burn (0.22) loses nodes of a graph that several
//! threads add to at once. So one of them runs at a time, up to where it waits for the others: what they
//! ask of their devices goes on meanwhile.

use std::cell::RefCell;
use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use burn::tensor::Tensor;

/// Replicas under way, and what they are handing to each other.
#[derive(Debug)]
struct Group {
    count: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What each replica has brought to the exchange under way.
    brought: Vec<Option<Tensor<1>>>,
    /// Replicas that have yet to take what was brought; 0 while it is being brought.
    to_take: usize,
    /// A replica is running.
    running: bool,
    /// A replica has failed, so that nobody has to wait for it.
    broken: bool,
}

/// The replica that a thread is.
#[derive(Debug, Clone)]
struct Replica {
    place: usize,
    group: Arc<Group>,
}

thread_local! {
    static OWN: RefCell<Option<Replica>> = const { RefCell::new(None) };
}

/// Whether this thread is one of several replicas that share their statistics.
pub(crate) fn is_sharing() -> bool {
    OWN.with_borrow(Option::is_some)
}

/// Hands `tensor` to the other replicas of this thread's group, and gives those of all of them, in the
/// order of the replicas, on the devices that they come from. All replicas have to exchange as often.
///
/// # Panics
/// Where [`is_sharing`] is false, and when another replica fails meanwhile.
pub(crate) fn exchange(tensor: Tensor<1>) -> Vec<Tensor<1>> {
    let own = OWN.with_borrow(Clone::clone);
    let Replica { place, group } = own.expect("only replicas exchange");
    let mut state = group.lock();
    state.running = false;
    group.changed.notify_all();
    // The last exchange may not be over for the others.
    state = group.wait_while(state, |state| state.to_take > 0);
    state.brought[place] = Some(tensor);
    if state.brought.iter().all(Option::is_some) {
        state.to_take = group.count;
        group.changed.notify_all();
    }
    state = group.wait_while(state, |state| state.to_take == 0 || state.running);
    state.running = true;
    let all = state.brought.iter().flatten().cloned().collect();
    state.to_take -= 1;
    if state.to_take == 0 {
        state.brought.fill(None);
        group.changed.notify_all();
    }
    all
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as `condition` holds.
    fn wait_while<'a>(
        &self,
        state: MutexGuard<'a, State>,
        condition: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let on = |state: &mut State| !state.broken && condition(state);
        let state = self.changed.wait_while(state, on);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        assert!(!state.broken, "another replica has failed");
        state
    }
}

/// Held by a replica of a group that exchanges: it waits until it may run, and lets the others run at its
/// end, or tells them that it failed.
struct Turn(Arc<Group>);

impl Turn {
    fn new(group: &Arc<Group>) -> Self {
        let mut state = group.wait_while(group.lock(), |state| state.running);
        state.running = true;
        Self(Arc::clone(group))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.running = false;
        state.broken |= std::thread::panicking();
        self.0.changed.notify_all();
    }
}

/// Does `work` for each of `count` replicas on a thread of its own, and gives what they found, in
/// order; where `sharing`, they can [`exchange`].
///
/// # Panics
/// When the work of a replica does.
pub(crate) fn run<T: Send>(
    count: usize,
    sharing: bool,
    work: impl Fn(usize) -> T + Sync,
) -> Vec<T> {
    if count == 1 {
        return vec![work(0)];
    }
    let state = State {
        brought: vec![None; count],
        ..State::default()
    };
    let group = Arc::new(Group {
        count,
        state: Mutex::new(state),
        changed: Condvar::new(),
    });
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|place| {
                let group = Arc::clone(&group);
                scope.spawn(move || {
                    let _turn = sharing.then(|| Turn::new(&group));
                    OWN.set(sharing.then_some(Replica { place, group }));
                    work(place)
                })
            })
            .collect();
        let ended: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        let found: Result<Vec<T>, _> = ended.into_iter().collect();
        found.unwrap_or_else(|panic| resume_unwind(panic))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn number(value: f32) -> Tensor<1> {
        Tensor::from_floats([value], &Device::flex())
    }

    #[test]
    fn everyone_gets_what_everyone_brings_however_often_and_in_order() {
        for count in [2, 3, 5] {
            let found = run(count, true, |place| {
                let rounds = (0..50).map(|round| {
                    let all = exchange(number((100 * round + place) as f32));
                    let values = all.into_iter().map(Tensor::into_scalar::<f32>);
                    values.collect::<Vec<f32>>()
                });
                rounds.collect::<Vec<_>>()
            });
            let expected: Vec<Vec<f32>> = (0..50)
                .map(|round| {
                    (0..count)
                        .map(|place| (100 * round + place) as f32)
                        .collect()
                })
                .collect();
            assert!(found.iter().all(|rounds| *rounds == expected));
        }
    }

    #[test]
    fn replicas_share_nothing_unless_they_are_asked_to() {
        assert!(!is_sharing());
        assert_eq!(
            run(3, false, |place| (place, is_sharing())),
            [(0, false), (1, false), (2, false)]
        );
        assert_eq!(run(2, true, |_| is_sharing()), [true, true]);
        assert_eq!(run(1, true, |_| is_sharing()), [false]);
    }

    #[test]
    fn nobody_waits_for_a_replica_that_failed() {
        let failed = std::panic::catch_unwind(|| {
            run(3, true, |place| {
                exchange(number(1.0));
                assert!(place != 1, "the second one fails");
                exchange(number(2.0));
            })
        });
        assert!(failed.is_err());
    }
}
