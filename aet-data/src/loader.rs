//! The loader: batches of an epoch, made ahead of their reader, delivered in order.
//!
//! Each batch is a task of rayon's pool, the one that training computes in, so that loading takes no
//! cores beyond those that a run was given. A few tasks are under way or done at any time, each with
//! a channel for its batch; the reader empties the channels in step order and starts a task for each
//! that it takes, which bounds the memory. What is in a batch depends on seed, epoch and item index
//! alone.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvError, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::batch::HostBatch;
use crate::cache::ImageSet;
use crate::error::DataError;
use crate::pipeline::{ItemContext, ItemPipeline};
use crate::random::{Purpose, generator, permutation};

/// Batches, for each worker, that may be under way or done before the reader asks for them.
const AHEAD_PER_WORKER: usize = 2;

/// In which order an epoch goes through the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// A new random order each epoch.
    #[default]
    Shuffled,
    /// From the first image to the last.
    Sequential,
}

/// Which batches an epoch is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochPlan {
    /// Seed of the run.
    pub seed: u64,
    /// Number of the epoch, from 0.
    pub epoch: u64,
    /// Items in a batch; the last one of an epoch may be smaller.
    pub batch_size: usize,
    /// Shuffled or not.
    pub order: Order,
    /// Leave out a last batch that is not full.
    pub drop_last: bool,
    /// Step to begin with; above 0 to resume in the middle of an epoch.
    pub first_step: usize,
}

/// Batches in an epoch over `count` items; 0 for a `batch_size` of 0.
pub fn steps_per_epoch(count: usize, batch_size: usize, drop_last: bool) -> usize {
    match (batch_size, drop_last) {
        (0, _) => 0,
        (_, true) => count / batch_size,
        (_, false) => count.div_ceil(batch_size),
    }
}

/// Makes epochs of batches; see [`Loader::epoch`].
#[derive(Debug, Clone, Copy)]
pub struct Loader;

impl Loader {
    /// The batches of one epoch, in step order.
    ///
    /// Whole batches are made ahead of the reader in rayon's pool, a few for each of `workers`. With
    /// 0 workers, the reader makes each batch as it asks for it. A batch is the same with any number
    /// of workers and from any `first_step`. There is no batch where `first_step` lies past the end,
    /// or where `drop_last` leaves none.
    ///
    /// # Errors
    /// When the set is empty or the batch size is 0.
    pub fn epoch(
        set: Arc<ImageSet>,
        pipeline: Arc<dyn ItemPipeline>,
        plan: EpochPlan,
        workers: usize,
    ) -> Result<EpochBatches, DataError> {
        if set.is_empty() {
            return Err(DataError::invalid(
                "the number of images",
                0,
                "at least 1 to make batches",
            ));
        }
        if plan.batch_size == 0 {
            return Err(DataError::invalid("the batch size", 0, "at least 1"));
        }
        let steps = steps_per_epoch(set.len(), plan.batch_size, plan.drop_last);
        let work = Arc::new(Work {
            order: order_of(&plan, set.len()),
            set,
            pipeline,
            steps,
            stopped: AtomicBool::new(false),
            spare: Spare::default(),
            plan,
        });
        Ok(EpochBatches::start(work, workers))
    }
}

fn order_of(plan: &EpochPlan, count: usize) -> Option<Vec<usize>> {
    match plan.order {
        Order::Sequential => None,
        Order::Shuffled => {
            let mut rng = generator(plan.seed, plan.epoch, 0, Purpose::Shuffle);
            Some(permutation(&mut rng, count))
        }
    }
}

/// All that is needed to make any batch of the epoch.
struct Work {
    set: Arc<ImageSet>,
    pipeline: Arc<dyn ItemPipeline>,
    plan: EpochPlan,
    /// `None` = sequential.
    order: Option<Vec<usize>>,
    steps: usize,
    stopped: AtomicBool,
    spare: Spare,
}

/// Batches given back by the reader, whose memory is used again.
#[derive(Clone, Default)]
struct Spare(Arc<Mutex<Vec<HostBatch>>>);

impl Spare {
    fn take(&self) -> HostBatch {
        let mut batches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        batches.pop().unwrap_or_default()
    }

    fn put(&self, batch: HostBatch) {
        let mut batches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        batches.push(batch);
    }
}

impl Work {
    fn context(&self) -> ItemContext {
        ItemContext::new(self.plan.seed, self.plan.epoch, 0)
    }

    /// Makes the batch of `step`.
    fn batch(&self, step: usize, context: &mut ItemContext) -> HostBatch {
        let first = step * self.plan.batch_size;
        let end = (first + self.plan.batch_size).min(self.set.len());
        let [height, width] = (self.pipeline).view_size(self.set.height(), self.set.width());
        let shape = [end - first, 3, height, width];
        let mut batch = self.spare.take();
        batch.reshape(self.pipeline.views(), shape, self.pipeline.target_len());
        batch.epoch = self.plan.epoch;
        batch.step = step;
        let positions = first..end;
        match &self.order {
            Some(order) => batch.indices.extend_from_slice(&order[positions]),
            None => batch.indices.extend(positions),
        }
        let labels = batch.indices.iter().map(|&index| self.set.label(index));
        batch.labels.extend(labels);
        self.fill(&mut batch, context);
        batch
    }

    /// Makes the views and targets of the items that `batch` names.
    fn fill(&self, batch: &mut HostBatch, context: &mut ItemContext) {
        let view_len: usize = batch.view_shape[1..].iter().product();
        let mut rest: Vec<&mut [f32]> = batch.views.iter_mut().map(Vec::as_mut_slice).collect();
        let mut views: Vec<&mut [f32]> = Vec::with_capacity(rest.len());
        let mut targets = batch.targets.as_mut_slice();
        for &index in &batch.indices {
            views.clear();
            for view in &mut rest {
                let (now, later) = std::mem::take(view).split_at_mut(view_len);
                views.push(now);
                *view = later;
            }
            let (target, later) = targets.split_at_mut(batch.target_len);
            targets = later;
            context.set_index(index);
            let image = self.set.image(index);
            self.pipeline.make(image, context, &mut views, target);
        }
    }

    /// Starts the making of the batch of `step` in the pool.
    fn spawn(self: &Arc<Self>, step: usize) -> Receiver<thread::Result<HostBatch>> {
        let (sender, receiver) = sync_channel(1);
        let work = Arc::clone(self);
        rayon::spawn(move || {
            let make = || work.batch(step, &mut work.context());
            let stopped = work.stopped.load(Ordering::Relaxed);
            // A panic goes on in the reader; in the pool it would end the process.
            let made = (!stopped).then(|| catch_unwind(AssertUnwindSafe(make)));
            // Whoever waits for the channel may count on the set being let go.
            drop(work);
            if let Some(made) = made {
                // The reader may have gone.
                let _ = sender.send(made);
            }
        });
        receiver
    }
}

/// The batches of an epoch; made by [`Loader::epoch`].
pub struct EpochBatches {
    work: Arc<Work>,
    next_step: usize,
    maker: Maker,
}

enum Maker {
    /// The thread that reads.
    Reader(Box<ItemContext>),
    /// The pool; what is to come of the next steps, in their order.
    Pool(VecDeque<Receiver<thread::Result<HostBatch>>>),
}

impl EpochBatches {
    fn start(work: Arc<Work>, workers: usize) -> Self {
        let next_step = work.plan.first_step;
        let maker = if workers == 0 {
            Maker::Reader(Box::new(work.context()))
        } else {
            let ahead = (workers * AHEAD_PER_WORKER).min(work.steps.saturating_sub(next_step));
            let steps = next_step..next_step + ahead;
            Maker::Pool(steps.map(|step| work.spawn(step)).collect())
        };
        Self {
            work,
            next_step,
            maker,
        }
    }

    /// Takes batches back, so that those still to come use their memory again. A loop that copies
    /// its batches saves the clearing of new memory with it; the others need not care.
    pub fn recycler(&self) -> Recycler {
        Recycler(self.work.spare.clone())
    }

    /// Steps in the whole epoch, from step 0.
    pub fn steps(&self) -> usize {
        self.work.steps
    }
}

/// Takes batches back; see [`EpochBatches::recycler`].
#[derive(Clone)]
pub struct Recycler(Spare);

impl Recycler {
    /// Gives the memory of `batch` to a batch that is still to come.
    pub fn recycle(&self, batch: HostBatch) {
        self.0.put(batch);
    }
}

impl Iterator for EpochBatches {
    type Item = HostBatch;

    fn next(&mut self) -> Option<HostBatch> {
        if self.next_step >= self.work.steps {
            return None;
        }
        let step = self.next_step;
        self.next_step += 1;
        match &mut self.maker {
            Maker::Reader(context) => Some(self.work.batch(step, context)),
            Maker::Pool(batches) => {
                let next = batches.pop_front()?;
                let new = step + batches.len() + 1;
                if new < self.work.steps {
                    batches.push_back(self.work.spawn(new));
                }
                match wait_for(&next) {
                    Ok(Ok(batch)) => Some(batch),
                    Ok(Err(panic)) => resume_unwind(panic),
                    Err(_) => panic!("a batch was given up before it was made"),
                }
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.work.steps.saturating_sub(self.next_step);
        (left, Some(left))
    }
}

impl ExactSizeIterator for EpochBatches {}

/// What comes out of `channel`. A thread of the pool works on other tasks while it waits, since the
/// one that it waits for may be among them.
fn wait_for<T>(channel: &Receiver<T>) -> Result<T, RecvError> {
    loop {
        match channel.try_recv() {
            Ok(value) => return Ok(value),
            Err(TryRecvError::Disconnected) => return Err(RecvError),
            Err(TryRecvError::Empty) => match rayon::yield_now() {
                Some(rayon::Yield::Executed) => {}
                Some(rayon::Yield::Idle) => thread::yield_now(),
                None => return channel.recv(),
            },
        }
    }
}

impl Drop for EpochBatches {
    fn drop(&mut self) {
        // Tasks that have not begun make nothing; those that have are waited for.
        self.work.stopped.store(true, Ordering::Relaxed);
        if let Maker::Pool(batches) = &self.maker {
            for batch in batches {
                let _ = wait_for(batch);
            }
        }
    }
}
