//! The loader: batches of an epoch, made ahead of their reader, delivered in order.
//!
//! Each batch is a task of rayon's pool, the one that training computes in, so that loading takes no
//! cores beyond those that a run was given; a large batch is made in parts. A few tasks are under way
//! or done at any time, each with a channel for its batch; the reader empties the channels in step
//! order and starts a task for each that it takes, which bounds the memory. What is in a batch depends
//! on seed, epoch and item index alone.
//!
//! An image that cannot be used is left out where the set allows it ([`SkipLog`](crate::SkipLog)): in
//! a shuffled epoch another one, drawn by seed, epoch and index, takes its place, so that batches stay
//! full; in a sequential one the batch is an item smaller.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvError, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use aet_geometry::RgbImage;
use rayon::prelude::*;

use crate::batch::HostBatch;
use crate::error::DataError;
use crate::order::{Order, Sequence};
use crate::pipeline::{ItemContext, ItemPipeline};
use crate::random::{Purpose, below, generator};
use crate::set::ImageSet;

/// Batches, for each worker, that may be under way or done before the reader asks for them.
const AHEAD_PER_WORKER: usize = 2;
/// Bytes of views that may be under way or done before the reader asks for them; one batch always
/// may.
const AHEAD_BYTES: usize = 512 << 20;
/// Bytes of views that are made at one go; a batch of more is made in parts, by several threads.
const PART_BYTES: usize = 16 << 20;
/// Images that are tried in the place of one that cannot be used.
const SUBSTITUTES: usize = 100;

/// Which of the batches of an epoch are made: those of one of several processes or devices, which
/// together make each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Which, from 0.
    pub index: usize,
    /// Of how many.
    pub count: usize,
}

impl Share {
    /// All batches.
    pub const WHOLE: Self = Self { index: 0, count: 1 };
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
    /// The part of this process: step s of share i of n is batch s n + i of the epoch.
    pub share: Share,
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
        let Share { index, count } = plan.share;
        if index >= count {
            let allowed = format!("below the number of shares, {count}");
            return Err(DataError::invalid("the share", index, allowed));
        }
        if u32::try_from(set.len()).is_err() {
            let allowed = "below 2^32";
            return Err(DataError::invalid(
                "the number of images",
                set.len(),
                allowed,
            ));
        }
        let batches = steps_per_epoch(set.len(), plan.batch_size, plan.drop_last);
        // Without the last batches that not every share has one of, so that all take as many steps.
        let steps = match plan.drop_last {
            true => batches / count,
            false => (batches + count - 1 - index) / count,
        };
        let work = Arc::new(Work {
            sequence: Sequence::new(plan.order, plan.seed, plan.epoch, &set),
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

/// All that is needed to make any batch of the epoch.
struct Work {
    set: Arc<ImageSet>,
    pipeline: Arc<dyn ItemPipeline>,
    plan: EpochPlan,
    sequence: Sequence,
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

/// A batch, or why there is none.
type Made = Result<HostBatch, DataError>;

/// A part of a batch: items with the places of their views and targets.
struct BatchPart<'a> {
    /// The items that are wanted; those that came instead are written here, and none for one that is
    /// left out.
    indices: &'a mut [Option<usize>],
    /// The memory of each view.
    views: Vec<&'a mut [f32]>,
    targets: &'a mut [f32],
}

/// What a thread works with.
struct Bench {
    context: ItemContext,
    /// An image that was decoded just now.
    decoded: RgbImage,
}

impl Work {
    fn bench(&self) -> Bench {
        let mut context = ItemContext::new(self.plan.seed, self.plan.epoch, 0);
        context.set_item_size(self.set.size());
        Bench {
            context,
            decoded: RgbImage::filled(0, 0, [0; 3]),
        }
    }

    /// Height and width of a view.
    fn view_size(&self) -> [usize; 2] {
        (self.pipeline).view_size(self.set.height(), self.set.width())
    }

    /// Bytes of the views of one item.
    fn item_bytes(&self) -> usize {
        let [height, width] = self.view_size();
        self.pipeline.views() * 3 * height * width * size_of::<f32>()
    }

    /// Batches that may be under way before the reader asks for them.
    fn ahead(&self, workers: usize) -> usize {
        let fitting = AHEAD_BYTES / (self.item_bytes() * self.plan.batch_size).max(1);
        (workers * AHEAD_PER_WORKER).min(fitting).max(1)
    }

    /// Makes the batch of `step`, at this `bench`, or without one in parts if it is large.
    fn batch(&self, step: usize, bench: Option<&mut Bench>) -> Result<HostBatch, DataError> {
        let number = step * self.plan.share.count + self.plan.share.index;
        let first = number * self.plan.batch_size;
        let end = (first + self.plan.batch_size).min(self.set.len());
        let [height, width] = self.view_size();
        let shape = [end - first, 3, height, width];
        let mut batch = self.spare.take();
        batch.reshape(self.pipeline.views(), shape, self.pipeline.target_len());
        batch.epoch = self.plan.epoch;
        batch.step = step;
        let mut indices: Vec<Option<usize>> = (first..end)
            .map(|place| Some(self.sequence.at(place)))
            .collect();
        let part_items = match bench {
            Some(_) => end - first,
            None => (PART_BYTES / self.item_bytes().max(1)).clamp(1, end - first),
        };
        let parts = split(&mut batch, &mut indices, part_items);
        match bench {
            Some(bench) => {
                let mut parts = parts.into_iter();
                parts.try_for_each(|part| self.fill(part, bench))?;
            }
            None => {
                (parts.into_par_iter()).try_for_each(|part| self.fill(part, &mut self.bench()))?
            }
        }
        batch.settle(&indices);
        let labels = batch.indices.iter().map(|&index| self.set.label(index));
        batch.labels.extend(labels);
        Ok(batch)
    }

    /// Makes the views and targets of some items.
    fn fill(&self, part: BatchPart<'_>, bench: &mut Bench) -> Result<(), DataError> {
        let count = part.indices.len().max(1);
        let view_lens: Vec<usize> = part.views.iter().map(|view| view.len() / count).collect();
        let target_len = part.targets.len() / count;
        let mut rest = part.views;
        let mut views: Vec<&mut [f32]> = Vec::with_capacity(rest.len());
        let mut targets = part.targets;
        for index in part.indices {
            views.clear();
            for (view, len) in rest.iter_mut().zip(&view_lens) {
                let (now, later) = std::mem::take(view).split_at_mut(*len);
                views.push(now);
                *view = later;
            }
            let (target, later) = targets.split_at_mut(target_len);
            targets = later;
            if let Some(wanted) = *index {
                *index = self.make(wanted, bench, (&mut views, target))?;
            }
        }
        Ok(())
    }

    /// Makes item `wanted`, or one in its place; gives the index of the one that it made, if any.
    fn make(
        &self,
        wanted: usize,
        bench: &mut Bench,
        (views, target): (&mut [&mut [f32]], &mut [f32]),
    ) -> Result<Option<usize>, DataError> {
        let Bench { context, decoded } = bench;
        context.set_index(wanted);
        let mut substitutes = generator(
            self.plan.seed,
            self.plan.epoch,
            wanted as u64,
            Purpose::Substitute,
        );
        let mut index = wanted;
        for _ in 0..=SUBSTITUTES {
            let problem = match self.set.read(index, decoded) {
                Ok(image) => match self.pipeline.make(image, context, views, target) {
                    Ok(()) => return Ok(Some(index)),
                    Err(problem) => DataError::Image {
                        index,
                        name: self.set.name(index),
                        problem,
                    },
                },
                Err(error) => error,
            };
            self.set.skip(index, problem)?;
            if self.plan.order == Order::Sequential {
                return Ok(None);
            }
            index = below(&mut substitutes, self.set.len());
        }
        let skipped = self.set.skips().list();
        Err(DataError::NothingLeft { skipped })
    }

    /// Starts the making of the batch of `step` in the pool.
    fn spawn(self: &Arc<Self>, step: usize) -> Receiver<thread::Result<Made>> {
        let (sender, receiver) = sync_channel(1);
        let work = Arc::clone(self);
        rayon::spawn(move || {
            let make = || work.batch(step, None);
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
    Reader(Box<Bench>),
    /// The pool; what is to come of the next steps, in their order.
    Pool(VecDeque<Receiver<thread::Result<Made>>>),
}

impl EpochBatches {
    fn start(work: Arc<Work>, workers: usize) -> Self {
        let next_step = work.plan.first_step;
        let maker = if workers == 0 {
            Maker::Reader(Box::new(work.bench()))
        } else {
            let left = work.steps.saturating_sub(next_step);
            let ahead = work.ahead(workers).min(left);
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

impl EpochBatches {
    /// The batch of the next step; one of which nothing is left is empty.
    fn next_batch(&mut self) -> Option<Made> {
        if self.next_step >= self.work.steps {
            return None;
        }
        let step = self.next_step;
        self.next_step += 1;
        match &mut self.maker {
            Maker::Reader(bench) => Some(self.work.batch(step, Some(bench))),
            Maker::Pool(batches) => {
                let next = batches.pop_front()?;
                let new = step + batches.len() + 1;
                if new < self.work.steps {
                    batches.push_back(self.work.spawn(new));
                }
                match wait_for(&next) {
                    Ok(Ok(made)) => Some(made),
                    Ok(Err(panic)) => resume_unwind(panic),
                    Err(_) => panic!("a batch was given up before it was made"),
                }
            }
        }
    }
}

impl Iterator for EpochBatches {
    type Item = Result<HostBatch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.next_batch()? {
                Ok(batch) if batch.is_empty() => {}
                Err(error) => {
                    // Whoever reads on gets nothing more.
                    self.next_step = self.work.steps;
                    return Some(Err(error));
                }
                made => return Some(made),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.work.steps.saturating_sub(self.next_step);
        (0, Some(left))
    }
}

/// Cuts a batch into parts of `part_items` items.
fn split<'a>(
    batch: &'a mut HostBatch,
    indices: &'a mut [Option<usize>],
    part_items: usize,
) -> Vec<BatchPart<'a>> {
    let view_len: usize = batch.view_shape[1..].iter().product();
    let target_len = batch.target_len;
    let mut views: Vec<&mut [f32]> = batch.views.iter_mut().map(Vec::as_mut_slice).collect();
    let mut targets = batch.targets.as_mut_slice();
    let mut parts = Vec::new();
    for indices in indices.chunks_mut(part_items.max(1)) {
        let count = indices.len();
        let cut = views.iter_mut().map(|view| {
            let (now, later) = std::mem::take(view).split_at_mut(count * view_len);
            *view = later;
            now
        });
        let cut = cut.collect();
        let (now, later) = std::mem::take(&mut targets).split_at_mut(count * target_len);
        targets = later;
        parts.push(BatchPart {
            indices,
            views: cut,
            targets: now,
        });
    }
    parts
}

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
