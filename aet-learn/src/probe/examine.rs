//! Examining one encoder: every probe chooses what it leaves open on validation images, learns from
//! all labelled images, and is marked on the test images.
//!
//! Probes that are trained alike are taught side by side from one stream of images, so that
//! embedding, which takes most of the time, is done once for all of them.

use std::sync::Arc;
use std::time::Instant;

use aet_data::ViewPipeline;
use aet_data::random::{Purpose, generator};
use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::banks::{Banks, Part};
use super::choice::{Candidate, pick};
use super::classifier::{Classifier, Learner};
use super::fit::{Lesson, fit};
use super::knn;
use super::labels::Labelled;
use super::logistic;
use super::split::{Marks, SealedTest, Study};
use super::stream::{Reader, Stream};
use super::{
    CandidateResult, Chosen, KnnConfig, Pooling, ProbeConfig, ProbeData, ProbeMethod, ProbeResult,
};
use crate::backbone::{Encoder, Tap};
use crate::embed::{FeatureBank, FrozenEncoder};
use crate::error::LearnError;

/// One encoder before its examiners.
pub(super) struct Examination<'a> {
    encoder: &'a Encoder,
    data: &'a ProbeData<'a>,
    study: &'a Study,
    test: &'a SealedTest,
    device: Device,
    banks: Banks<'a>,
}

/// What is done in one go.
enum Work {
    /// A probe that is not trained by gradient descent, by its number.
    Alone(usize),
    /// Probes that are taught side by side.
    Together(Session),
}

/// Probes that are taught side by side: they read one tap, and are trained alike but for their
/// rates.
struct Session {
    tap: Tap,
    thaw: bool,
    probes: Vec<usize>,
}

/// What a session is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// To choose: learn from the fitted images, be asked about the validation images.
    Choice,
    /// To be marked: learn from all labelled images, be asked about the test images.
    Test,
}

impl<'a> Examination<'a> {
    pub fn new(
        encoder: &'a Encoder,
        data: &'a ProbeData<'a>,
        study: &'a Study,
        test: &'a SealedTest,
    ) -> Self {
        Self {
            encoder,
            data,
            study,
            test,
            device: encoder.device().without_autodiff(),
            banks: Banks::new(encoder, data),
        }
    }

    /// Runs `probes`; the results come in their order. Beside each is the classifier that was
    /// trained for it, if one was.
    ///
    /// `progress` is called with the share that is done.
    pub fn run(
        &mut self,
        probes: &[ProbeConfig],
        progress: &mut dyn FnMut(f32),
    ) -> Result<Vec<(ProbeResult, Option<Classifier>)>, LearnError> {
        let plan = self.plan(probes)?;
        let count = plan.len() as f32;
        let mut found: Vec<Option<(ProbeResult, Option<Classifier>)>> = vec![None; probes.len()];
        for (place, work) in plan.iter().enumerate() {
            let mut advance = |share: f32| progress((place as f32 + share) / count);
            match work {
                Work::Alone(number) => {
                    let result = self.alone(&probes[*number], &mut advance)?;
                    found[*number] = Some((result, None));
                }
                Work::Together(session) => {
                    let results = self.together(session, probes, &mut advance)?;
                    for (number, (result, classifier)) in session.probes.iter().zip(results) {
                        found[*number] = Some((result, Some(classifier)));
                    }
                }
            }
            advance(1.0);
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// Which probes are done together.
    fn plan(&self, probes: &[ProbeConfig]) -> Result<Vec<Work>, LearnError> {
        let mut plan: Vec<Work> = Vec::new();
        for (number, probe) in probes.iter().enumerate() {
            probe.validate()?;
            let tap = self.encoder.tap(&probe.tap)?;
            if !probe.method.is_trained() {
                plan.push(Work::Alone(number));
                continue;
            }
            let alike = plan.iter_mut().find_map(|work| match work {
                Work::Together(session) => {
                    let other = &probes[session.probes[0]];
                    let same = session.tap == *tap
                        && session.thaw == probe.thaw
                        && other.training.epochs == probe.training.epochs
                        && other.training.batch_size == probe.training.batch_size
                        && other.training.images_per_epoch == probe.training.images_per_epoch
                        && other.training.augment == probe.training.augment;
                    same.then_some(session)
                }
                Work::Alone(_) => None,
            });
            match alike {
                Some(session) => session.probes.push(number),
                None => plan.push(Work::Together(Session {
                    tap: tap.clone(),
                    thaw: probe.thaw,
                    probes: vec![number],
                })),
            }
        }
        Ok(plan)
    }

    /// A probe that searches or solves.
    fn alone(
        &mut self,
        probe: &ProbeConfig,
        progress: &mut dyn FnMut(f32),
    ) -> Result<ProbeResult, LearnError> {
        let started = Instant::now();
        let tap = self.encoder.tap(&probe.tap)?.clone();
        let all = self.banks.get(Part::Train, &tap, probe.pooling)?;
        let candidates = probe.candidates();
        let study = self.study;
        let mut validation = Vec::new();
        if probe.chooses() {
            let (fitted, aside) = (select(&all, &study.fitted), select(&all, &study.validation));
            let answers =
                self.answers(&candidates, &fitted, &study.fitted, &aside, &mut |share| {
                    progress(0.5 * share);
                })?;
            validation = answers
                .iter()
                .map(|answers| vec![study.validation_error(answers)])
                .collect();
        }
        let (chosen, _) = pick(&validation, probe.choose.stopping);
        // Where candidates cost nothing but a vote, the test error of each is shown beside.
        let shown = match &probe.method {
            ProbeMethod::Knn(_) => &candidates[..],
            _ => &candidates[chosen..=chosen],
        };
        let labelled = select(&all, &study.labelled);
        let test = self.banks.get(Part::Test, &tap, probe.pooling)?;
        let answers = self.answers(shown, &labelled, &study.labelled, &test, &mut |share| {
            progress(0.5 + 0.5 * share);
        })?;
        let mut marks: Vec<Marks> = answers.iter().map(|a| self.test.mark(a)).collect();
        let tests: Vec<Option<f64>> = match marks.len() {
            1 => vec![None; candidates.len()],
            _ => marks.iter().map(|marks| Some(marks.error())).collect(),
        };
        let marks = match marks.len() {
            1 => marks.remove(0),
            _ => marks.swap_remove(chosen),
        };
        let outcome = Outcome {
            epoch: None,
            per_epoch: Vec::new(),
            marks,
        };
        let mut result = result(probe, &candidates, &validation, (chosen, outcome));
        for (candidate, error) in result.candidates.iter_mut().zip(tests) {
            candidate.error = error;
        }
        result.seconds = started.elapsed().as_secs_f64();
        Ok(result)
    }

    /// What each candidate thinks of the images of `asked`, having the features `known` of the
    /// images `rows`.
    fn answers(
        &self,
        candidates: &[Candidate],
        known: &FeatureBank,
        rows: &[usize],
        asked: &FeatureBank,
        progress: &mut dyn FnMut(f32),
    ) -> Result<Vec<Vec<u32>>, LearnError> {
        let labels = self.study.labels_of(rows);
        let neighbours: Vec<&KnnConfig> = candidates
            .iter()
            .filter_map(|candidate| match &candidate.probe.method {
                ProbeMethod::Knn(config) => Some(config),
                _ => None,
            })
            .collect();
        if let Some(most) = neighbours.iter().map(|config| config.neighbours).max() {
            let found = knn::nearest(known, asked, most, progress)?;
            let votes = |config: &&KnnConfig| -> Vec<u32> {
                let voters = |all: &Vec<knn::Neighbour>| {
                    let nearest = &all[..config.neighbours.min(all.len())];
                    knn::vote(config, nearest, &labels)
                };
                found.iter().map(voters).collect()
            };
            return Ok(neighbours.iter().map(votes).collect());
        }
        let train = Labelled {
            features: known,
            labels: &labels,
        };
        let count = candidates.len() as f32;
        let mut answers = Vec::with_capacity(candidates.len());
        for (place, candidate) in candidates.iter().enumerate() {
            let ProbeMethod::Logistic(config) = &candidate.probe.method else {
                continue;
            };
            let mut advance = |share: f32| progress((place as f32 + share) / count);
            let classes = self.study.classes;
            let model = logistic::fit(config, train, classes, &mut advance)?;
            answers.push(model.predict(asked)?);
        }
        Ok(answers)
    }

    /// Probes that are taught side by side.
    fn together(
        &mut self,
        session: &Session,
        probes: &[ProbeConfig],
        progress: &mut dyn FnMut(f32),
    ) -> Result<Vec<(ProbeResult, Classifier)>, LearnError> {
        let started = Instant::now();
        let probes: Vec<&ProbeConfig> = session.probes.iter().map(|n| &probes[*n]).collect();
        let open: Vec<Vec<Candidate>> = probes.iter().map(|probe| probe.candidates()).collect();
        let choosing: Vec<usize> = (0..probes.len()).filter(|p| probes[*p].chooses()).collect();
        let half = if choosing.is_empty() { 0.0 } else { 0.5 };
        let mut validation: Vec<Vec<Vec<f64>>> = vec![Vec::new(); probes.len()];
        if !choosing.is_empty() {
            let asked: Vec<ProbeConfig> = choosing
                .iter()
                .flat_map(|p| open[*p].iter().map(|candidate| candidate.probe.clone()))
                .collect();
            let mut errors = vec![Vec::new(); asked.len()];
            let study = self.study;
            self.teach(
                session,
                &asked,
                Phase::Choice,
                &mut |learner, _, answers| errors[learner].push(study.validation_error(answers)),
                &mut |share| progress(half * share),
            )?;
            let mut errors = errors.into_iter();
            for p in &choosing {
                validation[*p] = errors.by_ref().take(open[*p].len()).collect();
            }
        }
        let picked: Vec<(usize, usize)> = probes
            .iter()
            .zip(&validation)
            .map(|(probe, errors)| match errors.is_empty() {
                true => (0, probe.training.epochs as usize - 1),
                false => pick(errors, probe.choose.stopping),
            })
            .collect();
        let chosen: Vec<ProbeConfig> = picked
            .iter()
            .zip(&open)
            .map(|((candidate, _), open)| open[*candidate].probe.clone())
            .collect();
        let mut outcomes: Vec<Outcome> = picked
            .iter()
            .map(|(_, epoch)| Outcome::stopping_after(*epoch as u64))
            .collect();
        let test = self.test;
        let learners = self.teach(
            session,
            &chosen,
            Phase::Test,
            &mut |learner, epoch, answers| outcomes[learner].take(epoch, test.mark(answers)),
            &mut |share| progress(half + (1.0 - half) * share),
        )?;
        let seconds = started.elapsed().as_secs_f64() / probes.len() as f64;
        let mut found = Vec::with_capacity(probes.len());
        for (p, (outcome, learner)) in outcomes.into_iter().zip(learners).enumerate() {
            let picked = (picked[p].0, outcome);
            let mut result = result(probes[p], &open[p], &validation[p], picked);
            result.seconds = seconds;
            found.push((result, learner.classifier.valid()));
        }
        Ok(found)
    }

    /// Trains a classifier for each of `probes` and hands their answers on: which learner, the
    /// epoch, and the class of every asked item.
    fn teach(
        &mut self,
        session: &Session,
        probes: &[ProbeConfig],
        phase: Phase,
        answered: &mut dyn FnMut(usize, u64, &[u32]),
        progress: &mut dyn FnMut(f32),
    ) -> Result<Vec<Learner>, LearnError> {
        // Maps are pooled on the way where all want the same, else by each for itself.
        let first = probes[0].pooling;
        let alike = probes.iter().all(|probe| probe.pooling == first);
        let pooling = if alike { first } else { Pooling::Full };
        let shape = self.banks.shape(&session.tap, pooling)?;
        let mut learners: Vec<Learner> = probes
            .iter()
            .map(|probe| self.learner(probe, &session.tap, shape))
            .collect();
        let (learnt_rows, asked_rows) = match phase {
            Phase::Choice => (&self.study.fitted, Some(&self.study.validation)),
            Phase::Test => (&self.study.labelled, None),
        };
        let training = &probes[0].training;
        let bank = match session.thaw || training.augment || !self.banks.fits(Part::Train, shape) {
            true => None,
            false => Some(self.banks.get(Part::Train, &session.tap, pooling)?),
        };
        let reader = self.reader(session, pooling);
        let learnt = match &bank {
            Some(bank) => self.rows_of(bank, learnt_rows),
            None => {
                let set = Arc::new(self.data.train.subset(learnt_rows));
                self.images(set, training.augment, reader.clone())
            }
        };
        let (asked_set, asked_bank, all);
        let judged = match (asked_rows, &bank) {
            (Some(rows), Some(bank)) => self.rows_of(bank, rows),
            (rows, _) => {
                asked_set = match rows {
                    Some(rows) => Arc::new(self.data.train.subset(rows)),
                    None => Arc::clone(self.data.test),
                };
                let numbers: usize = shape.iter().product();
                let bytes = numbers * asked_set.len() * size_of::<f32>();
                if session.thaw || bytes > super::banks::KEPT_BYTES {
                    self.images(asked_set, false, reader)
                } else {
                    asked_bank = match rows {
                        Some(_) => Arc::new(self.banks.read(&asked_set, &session.tap, pooling)?),
                        None => self.banks.get(Part::Test, &session.tap, pooling)?,
                    };
                    all = (0..asked_bank.len()).collect::<Vec<_>>();
                    self.rows_of(&asked_bank, &all)
                }
            }
        };
        let lesson = Lesson {
            learnt,
            labels: &self.study.labels_of(learnt_rows),
            judged,
            seed: self.data.seed,
        };
        fit(
            &mut learners,
            &lesson,
            &mut |answers| answered(answers.learner, answers.epoch, &answers.classes),
            progress,
        )?;
        Ok(learners)
    }

    /// A classifier for `probe` before its first step. The draws of its weights do not depend on
    /// what else is trained.
    fn learner(&self, probe: &ProbeConfig, tap: &Tap, shape: [usize; 3]) -> Learner {
        let device = self.device.clone().autodiff();
        let classes = self.study.classes;
        let [channels, height, width] = shape;
        let blank = Tensor::<4>::zeros([1, channels, height, width], &self.device);
        let [_, channels, height, width] = probe.pooling.apply(blank).dims();
        let mut rng = generator(self.data.seed, 0, 0, Purpose::Probe);
        let shape = [channels, height, width];
        let head = probe.method.head(shape, classes, &mut rng, &device);
        let classifier = match probe.thaw {
            true => Classifier::thawed(self.encoder, head, tap, probe.pooling),
            false => Classifier::frozen(head, tap, probe.pooling),
        };
        Learner::new(classifier, &probe.training, classes)
    }

    fn reader(&self, session: &Session, pooling: Pooling) -> Reader {
        match session.thaw {
            true => Reader::Pixels(self.device.clone()),
            false => {
                let frozen = FrozenEncoder::new(self.encoder, &session.tap, pooling);
                Reader::Frozen(Box::new(frozen))
            }
        }
    }

    fn rows_of<'b>(&self, bank: &'b FeatureBank, places: &'b [usize]) -> Stream<'b> {
        Stream::Bank {
            bank,
            places,
            device: self.device.clone(),
        }
    }

    fn images(
        &self,
        set: Arc<aet_data::ImageSet>,
        augment: bool,
        reader: Reader,
    ) -> Stream<'static> {
        let augment = match augment {
            true => self.data.augment.clone(),
            false => self.data.augment.still(),
        };
        Stream::Images {
            set,
            pipeline: Arc::new(ViewPipeline {
                augment,
                normalisation: self.data.normalisation.clone(),
            }),
            reader,
            workers: self.data.workers,
        }
    }
}

/// The marks of a probe.
struct Outcome {
    /// The epoch that counts; None where there are none.
    epoch: Option<u64>,
    per_epoch: Vec<f64>,
    marks: Marks,
}

impl Outcome {
    fn stopping_after(epoch: u64) -> Self {
        Self {
            epoch: Some(epoch),
            per_epoch: Vec::new(),
            marks: Marks::default(),
        }
    }

    fn take(&mut self, epoch: u64, marks: Marks) {
        self.per_epoch.push(marks.error());
        if self.epoch == Some(epoch) {
            self.marks = marks;
        }
    }
}

/// The rows `rows` of `bank`, as a bank of their own.
fn select<'b>(bank: &'b FeatureBank, rows: &[usize]) -> std::borrow::Cow<'b, FeatureBank> {
    use std::borrow::Cow;
    if rows.len() == bank.len() {
        return Cow::Borrowed(bank);
    }
    let mut features = Vec::with_capacity(rows.len() * bank.dim);
    for row in rows {
        features.extend_from_slice(bank.row(*row));
    }
    Cow::Owned(FeatureBank { features, ..*bank })
}

/// What was found, with the candidate and epoch that were picked.
fn result(
    probe: &ProbeConfig,
    candidates: &[Candidate],
    validation: &[Vec<f64>],
    (picked, outcome): (usize, Outcome),
) -> ProbeResult {
    let epoch = outcome.epoch.map_or(0, |epoch| epoch as usize);
    let chosen = validation.get(picked).map(|errors| Chosen {
        name: candidates[picked].name.clone(),
        epoch: outcome.epoch,
        validation_error: errors[epoch.min(errors.len() - 1)],
    });
    let best_error = outcome.per_epoch.iter().copied().reduce(f64::min);
    let best_epoch = outcome
        .per_epoch
        .iter()
        .position(|e| Some(*e) == best_error);
    let epochs = outcome.per_epoch.len() as u64;
    let candidates = match candidates.len() {
        1 => Vec::new(),
        _ => candidates
            .iter()
            .enumerate()
            .map(|(place, candidate)| CandidateResult {
                name: candidate.name.clone(),
                validation_error: validation.get(place).and_then(|errors| {
                    let (_, epoch) = pick(std::slice::from_ref(errors), probe.choose.stopping);
                    errors.get(epoch).copied()
                }),
                error: None,
            })
            .collect(),
    };
    ProbeResult {
        probe: probe.label(),
        tap: probe.tap.clone(),
        pooling: probe.pooling,
        thawed: probe.thaw,
        error: outcome.marks.error(),
        best_error,
        best_epoch: best_epoch.map(|epoch| epoch as u64),
        epochs: (epochs > 0).then_some(epochs),
        errors_per_epoch: outcome.per_epoch,
        chosen,
        candidates,
        seconds: 0.0,
        marks: outcome.marks,
    }
}
