//! `aet knn`: the exact nearest neighbours of embeddings in a Parquet file, however many there are.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use aet_learn::peak::multiply_adds_per_second;
use aet_learn::probe::KnnConfig;
use aet_learn::probe::knn::{Neighbour, Search, vote};
use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::bench::rounded;
use crate::failure::usage;
use crate::features::neighbours::NeighbourFile;
use crate::features::read::{Block, FeatureShards, extend};
use crate::memory::{Size, in_mib, peak_mib};
use crate::output::{draft_beside, keep_draft, print, print_json};
use crate::progress::Advance;
use crate::table::text_list;

/// Bytes of a block of searched rows, at most: more of them make nothing faster.
const BLOCK_BYTES: usize = 64 << 20;
/// Rows that are searched, or asked for, at a time, at least.
const LEAST_ROWS: usize = 256;
/// Blocks of rows in memory: the one that is searched, its layout for the search, and up to three of
/// the next while it is decoded.
const BLOCKS: usize = 5;
/// Bytes in use beside rows, queries and labels: the program, its threads, compressed pages.
const RESERVED: usize = 96 << 20;

/// Find the exact nearest neighbours of embeddings
///
/// SEARCHED and QUERIES are files of `aet embed`, or folders of them: any Parquet with a column
/// `embedding`, and `label` for the vote. Nearness is cosine similarity; the search is exact, and of
/// equally near rows that of the lower number is the nearer. SEARCHED is read a block at a time, so
/// that it may be larger than memory. Where both sides have labels, the share of queries that the
/// vote of their neighbours gets wrong is printed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  aet knn train.parquet test.parquet
  aet knn train.parquet test.parquet --neighbours 200 --weighted
  aet knn photos-features/ queries.parquet --memory-limit 2GiB --out neighbours.parquet")]
pub struct KnnArgs {
    /// Embeddings that are searched: a Parquet file, or a folder of them
    searched: PathBuf,
    /// Embeddings whose neighbours are wanted
    queries: PathBuf,
    /// K, the number of neighbours
    #[arg(long, value_name = "K", default_value_t = 10)]
    neighbours: usize,
    /// Let nearer neighbours count for more in the vote: exp(similarity / 0.07)
    #[arg(long)]
    weighted: bool,
    /// Memory to stay below, such as 512MiB or 2GiB
    #[arg(long, value_name = "SIZE", default_value = "2GiB")]
    memory_limit: Size,
    /// File to write: a row for each query, with the neighbours' rows and similarities
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Searches, and prints or writes what was found.
///
/// # Errors
/// When a file is not there or damaged, the limit too low, or the disk refuses.
pub fn run(args: &KnnArgs) -> anyhow::Result<()> {
    let config = KnnConfig {
        neighbours: args.neighbours,
        weighted: args.weighted,
        ..KnnConfig::default()
    };
    if config.neighbours == 0 {
        return Err(usage("--neighbours is at least 1"));
    }
    let searched = FeatureShards::open(&args.searched)?;
    let queries = FeatureShards::open(&args.queries)?;
    check(&searched, &queries, args.neighbours)?;
    let plan = Plan::new(&searched, &queries, args)?;
    let draft = args.out.as_deref().map(draft_beside).transpose()?;
    let results = match &draft {
        Some(draft) => Some(draft.reopen().context("cannot write the draft")?),
        None => None,
    };
    let mut work = Work {
        config,
        plan,
        searched,
        labels: None,
        results: results
            .map(|file| NeighbourFile::new(file, args.neighbours))
            .transpose()?,
        advance: Advance::new("searching"),
        tally: Tally::default(),
    };
    let start = Instant::now();
    work.all(&queries)?;
    let seconds = start.elapsed();
    let (tally, searched) = (work.tally, work.searched);
    if let Some(results) = work.results {
        results.close()?;
    }
    if let (Some(draft), Some(out)) = (draft, &args.out) {
        keep_draft(draft, out)?;
    }
    let facts = Facts {
        tally,
        seconds,
        products: searched.rows as f64 * queries.rows as f64 * queries.dim as f64,
    };
    facts.show(args, &searched, &queries)
}

fn check(searched: &FeatureShards, queries: &FeatureShards, count: usize) -> anyhow::Result<()> {
    if searched.dim != queries.dim {
        return Err(usage(format!(
            "embeddings of {} numbers in {} cannot be compared with those of {} in {}",
            searched.dim,
            searched.path.display(),
            queries.dim,
            queries.path.display()
        )));
    }
    if searched.rows < count {
        return Err(usage(format!(
            "--neighbours {count} is impossible: {} has only {} rows",
            searched.path.display(),
            searched.rows
        )));
    }
    Ok(())
}

/// How the work is cut to fit the memory.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Queries that are searched for in one pass over the searched rows.
    queries: usize,
    /// Searched rows in memory at a time.
    rows: usize,
}

impl Plan {
    fn new(
        searched: &FeatureShards,
        queries: &FeatureShards,
        args: &KnnArgs,
    ) -> anyhow::Result<Self> {
        let row = searched.dim * size_of::<f32>();
        let least = LEAST_ROWS.min(searched.rows) * row * BLOCKS;
        // The features as they are read and as directions, the search, the columns of the results.
        let query = row
            + Search::bytes_per_query(searched.dim, args.neighbours)
            + args.neighbours * (size_of::<i64>() + size_of::<f32>());
        let fixed = RESERVED + searched.rows * size_of::<u32>();
        let needed = fixed + least + LEAST_ROWS.min(queries.rows) * query;
        let limit = args.memory_limit.bytes;
        if needed > limit {
            return Err(usage(format!(
                "--memory-limit {} is too low for these files: at least {} are needed",
                in_mib(limit),
                in_mib(needed)
            )));
        }
        let free = limit - fixed;
        let wanted = searched.rows.min(BLOCK_BYTES / row);
        let rows = wanted
            .min(free / 2 / (BLOCKS * row))
            .max(least / (BLOCKS * row));
        let queries = queries.rows.min((free - rows * row * BLOCKS) / query);
        Ok(Self {
            queries: queries.max(1),
            rows: rows.max(1),
        })
    }
}

/// The search under way.
struct Work {
    config: KnnConfig,
    plan: Plan,
    searched: FeatureShards,
    /// Those of the searched rows, once they were all seen and if all have one.
    labels: Option<Vec<u32>>,
    results: Option<NeighbourFile>,
    advance: Advance,
    tally: Tally,
}

/// What was counted.
#[derive(Debug, Default)]
struct Tally {
    /// Time in the search itself.
    search: Duration,
    /// Passes over the searched rows.
    passes: usize,
    /// Queries whose vote was held against a label, and for how many it was another.
    judged: usize,
    wrong: usize,
}

impl Work {
    /// All queries, as many at a time as the plan allows.
    fn all(&mut self, queries: &FeatureShards) -> anyhow::Result<()> {
        let (mut features, mut labels, mut done) = (Vec::new(), Some(Vec::new()), 0);
        features.reserve_exact(self.plan.queries * queries.dim);
        for block in queries.blocks(self.plan.rows.min(self.plan.queries)) {
            let block = block?;
            let mut rest = block.features();
            let mut rest_labels = block.labels.as_deref();
            while !rest.is_empty() {
                let room = self.plan.queries * queries.dim - features.len();
                let (now, later) = rest.split_at(room.min(rest.len()));
                rest = later;
                features.extend_from_slice(now);
                let count = now.len() / queries.dim;
                let split = rest_labels.map(|labels| labels.split_at(count));
                extend(&mut labels, split.map(|(now, _)| now.to_vec()));
                rest_labels = split.map(|(_, later)| later);
                if features.len() == self.plan.queries * queries.dim {
                    done += features.len() / queries.dim;
                    self.pass(&features, labels.take().as_deref(), done, queries.rows)?;
                    features.clear();
                    labels = Some(Vec::new());
                }
            }
        }
        if !features.is_empty() {
            self.pass(&features, labels.as_deref(), queries.rows, queries.rows)?;
        }
        Ok(())
    }

    /// One pass over the searched rows, for the queries `features`; `done` of `total` are then done.
    fn pass(
        &mut self,
        features: &[f32],
        labels: Option<&[u32]>,
        done: usize,
        total: usize,
    ) -> anyhow::Result<()> {
        let dim = self.searched.dim;
        let first = self.tally.passes == 0;
        let start = Instant::now();
        let mut search = Search::new(features, dim, self.config.neighbours);
        self.tally.search += start.elapsed();
        let mut searched_labels = first.then(|| Vec::with_capacity(self.searched.rows));
        let mut blocks = self.searched.blocks(self.plan.rows);
        let (mut next, mut seen) = (blocks.next(), 0);
        while let Some(block) = next {
            let mut block = block?;
            // The next block is decoded while this one is searched.
            let (time, following) = rayon::join(|| timed(&mut search, &block), || blocks.next());
            self.tally.search += time;
            next = following;
            extend(&mut searched_labels, block.labels.take());
            seen += block.features().len() / dim;
            let queries = (features.len() / dim) as f64;
            let share = (done as f64 - queries * (1.0 - seen as f64 / self.searched.rows as f64))
                / total as f64;
            self.advance.to_share(share as f32);
        }
        let start = Instant::now();
        let found = search.finish();
        self.tally.search += start.elapsed();
        if first {
            self.labels = searched_labels;
        }
        self.tally.passes += 1;
        self.judge(&found, labels)
    }

    /// Lets the neighbours vote where there are labels, and writes what was found.
    fn judge(&mut self, found: &[Vec<Neighbour>], labels: Option<&[u32]>) -> anyhow::Result<()> {
        let vote = |near: &Vec<Neighbour>| {
            let searched = self.labels.as_deref()?;
            Some(vote(&self.config, near, searched))
        };
        let votes: Vec<Option<u32>> = found.iter().map(vote).collect();
        for (vote, label) in votes.iter().zip(labels.unwrap_or(&[])) {
            if let Some(vote) = vote {
                self.tally.judged += 1;
                self.tally.wrong += usize::from(vote != label);
            }
        }
        match &mut self.results {
            Some(results) => results.write(found, &votes),
            None => Ok(()),
        }
    }
}

fn timed(search: &mut Search, block: &Block) -> Duration {
    let start = Instant::now();
    search.visit(block.features());
    start.elapsed()
}

/// What is told at the end.
struct Facts {
    tally: Tally,
    seconds: Duration,
    /// Multiply-adds of the similarities.
    products: f64,
}

impl Facts {
    fn show(
        &self,
        args: &KnnArgs,
        searched: &FeatureShards,
        queries: &FeatureShards,
    ) -> anyhow::Result<()> {
        let search = self.tally.search.as_secs_f64();
        let error = (self.tally.judged == queries.rows)
            .then(|| self.tally.wrong as f64 / self.tally.judged as f64);
        if args.json {
            let peak = multiply_adds_per_second();
            return print_json(&json!({
                "searched": searched.rows,
                "queries": queries.rows,
                "dimension": queries.dim,
                "neighbours": args.neighbours,
                "error": error,
                "seconds": self.seconds.as_secs_f64(),
                "search_seconds": search,
                "queries_per_second": rounded(queries.rows as f64 / self.seconds.as_secs_f64()),
                "gflop_per_second": rounded(2e-9 * self.products / search),
                "peak_gflop_per_second": rounded(2e-9 * peak),
                "share_of_floor": rounded(self.products / peak / search),
                "passes": self.tally.passes,
                "threads": rayon::current_num_threads(),
                "peak_memory_mib": peak_mib().map(rounded),
                "file": args.out,
            }));
        }
        let rows = |side: &FeatureShards| {
            format!(
                "{} rows of {} numbers, {}",
                side.rows,
                side.dim,
                side.path.display()
            )
        };
        let mut lines = vec![
            ("searched".into(), rows(searched)),
            ("queries".into(), rows(queries)),
            ("neighbours".into(), args.neighbours.to_string()),
            (
                "seconds".into(),
                format!("{:.2}", self.seconds.as_secs_f64()),
            ),
        ];
        lines.push((
            "error".into(),
            match error {
                Some(error) => format!("{:.2} %", 100.0 * error),
                None => "unknown: not every row has a label".into(),
            },
        ));
        if let Some(out) = &args.out {
            lines.push(("file".into(), out.display().to_string()));
        }
        print(&text_list(&lines))
    }
}
