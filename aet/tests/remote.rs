//! Devices of other machines, which are this one on the loopback: servers as `aet serve` starts them, and
//! runs that use them.
#![cfg(feature = "remote")]
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aet_learn::state::{NamedTensors, read_safetensors};
use support::{aet, printed};

/// How long a run may take to see that a server is gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server on a port of its own, which ends with the test.
struct Server {
    process: Child,
    /// What `--device` takes.
    name: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn serve(token: Option<&str>) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aet"));
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    command.env_remove("AET_TOKEN").stderr(Stdio::piped());
    if let Some(token) = token {
        command.env("AET_TOKEN", token);
    }
    let mut process = command.spawn().unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    // The pipe has to be read, or the server waits for room in it.
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    let name = line.trim().strip_prefix("cpu is lent as ").unwrap();
    Server {
        process,
        name: name.into(),
    }
}

const SMALL: &[&str] = &[
    "pretrain",
    "--set=data.image_size=[16,16]",
    "--set=data.shapes.train=48",
    "--set=data.shapes.test=16",
    "--set=backbone.blocks=3",
    "--set=backbone.width=0.05",
    "--set=training.batch_size=12",
    "--set=training.log_every=1",
    "--set=training.checkpoint_every=2",
    "--set=training.sync_batch_norm=true",
    "--set=training.views=host",
    "--set=evaluation.pretext_every=0",
    "--set=evaluation.probes=[]",
];

/// The encoder after a run, on Burn's operations as a server has them.
fn pretrain(folder: &Path, name: &str, more: &[&str]) -> NamedTensors {
    let output = Command::new(env!("CARGO_BIN_EXE_aet"))
        .args([SMALL, &["--name", name], more].concat())
        .env("AET_FUSED", "off")
        .current_dir(folder)
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{name}: {log}");
    let path = folder.join("runs").join(name).join("encoder.safetensors");
    read_safetensors(&path).unwrap()
}

/// The largest difference of any tensor, over the largest value of that tensor; and its name.
fn difference(found: &NamedTensors, expected: &NamedTensors) -> (f32, String) {
    assert_eq!(found.len(), expected.len());
    let each = expected.iter().map(|(name, expected)| {
        let values = expected.values.iter();
        let largest = values.fold(1e-3_f32, |most, value| most.max(value.abs()));
        let pairs = found[name].values.iter().zip(&expected.values);
        let most = pairs.fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
        (most / largest, name.clone())
    });
    each.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

#[test]
fn two_servers_of_half_the_batch_train_what_one_process_of_the_whole_does() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let servers = [serve(None), serve(None)];
    let both = format!("{},{}", servers[0].name, servers[1].name);
    // A few steps at a low rate: later, what the last digits decide (the side of a ReLU) makes a
    // difference.
    let few = [
        "--epochs=1",
        "--set=data.shapes.train=24",
        "--set=schedule={kind=\"constant\",rate=0.01}",
    ];
    let here = pretrain(folder, "here", &few);
    let one = pretrain(
        folder,
        "one",
        &[&few[..], &["--device", &servers[0].name]].concat(),
    );
    let two = pretrain(folder, "two", &[&few[..], &["--device", &both]].concat());
    for (name, found, expected, allowed) in [
        ("two servers to one", &two, &one, 1e-3),
        ("one server to none", &one, &here, 1e-3),
    ] {
        let (off, tensor) = difference(found, expected);
        println!("{name}: {tensor} off by {off:.1e}");
        assert!(off < allowed, "{name}: {tensor} off by {off}");
    }
    let facts = std::fs::read_to_string(folder.join("runs/two/run.toml")).unwrap();
    assert!(
        servers.iter().all(|server| facts.contains(&server.name)),
        "{facts}"
    );
    let embed = ["embed", "here", "shapes", "--device", &servers[1].name];
    assert!(printed(folder, &embed).contains("24 rows"));
}

#[test]
fn a_server_that_dies_stops_the_run_with_its_checkpoint_intact() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let [first, mut second] = [serve(None), serve(None)];
    let devices = format!("{},{}", first.name, second.name);
    let arguments = [SMALL, &["--name=run", "--epochs=500", "--device", &devices]].concat();
    let mut run = Command::new(env!("CARGO_BIN_EXE_aet"))
        .args(arguments)
        .current_dir(folder)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let checkpoints = folder.join("runs/run/checkpoints");
    let started = Instant::now();
    while !checkpoints
        .read_dir()
        .is_ok_and(|mut found| found.next().is_some())
    {
        assert!(started.elapsed() < PATIENCE, "no checkpoint appears");
        std::thread::sleep(Duration::from_millis(50));
    }
    second.process.kill().unwrap();
    let died = Instant::now();
    let status = loop {
        if let Some(status) = run.try_wait().unwrap() {
            break status;
        }
        if died.elapsed() > PATIENCE {
            run.kill().unwrap();
            panic!("the run goes on without its server");
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let mut log = String::new();
    run.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    println!("after {:.1} s: {log}", died.elapsed().as_secs_f64());
    assert_eq!(status.code(), Some(1), "{log}");
    let last = log.lines().last().unwrap();
    assert!(last.starts_with("error: device "), "{log}");
    assert!(
        last.contains(&second.name) && last.contains("went away"),
        "{log}"
    );
    assert!(log.lines().count() < 20, "{log}");
    // The checkpoint is whole: the run goes on from it, here.
    let resumed = [
        "pretrain",
        "--resume",
        "--name=run",
        "--set=training.epochs=1",
    ];
    assert_eq!(
        aet(folder, &resumed).status.code(),
        Some(2),
        "an experiment stays as it is"
    );
    let probe = ["inspect", "shapes", "--run", "run", "--count", "2"];
    printed(folder, &probe);
}

#[test]
fn strangers_are_kept_out_and_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(Some("secret"));
    let attempt = |device: &str, token: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aet"));
        command.args([SMALL, &["--epochs=1", "--name=x", "--device", device]].concat());
        command.current_dir(folder.path()).env_remove("AET_TOKEN");
        if let Some(token) = token {
            command.env("AET_TOKEN", token);
        }
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    for token in [None, Some("guess")] {
        let (code, log) = attempt(&server.name, token);
        assert_eq!(code, Some(2), "{log}");
        assert!(log.contains("refuses the token in AET_TOKEN"), "{log}");
    }
    let (code, log) = attempt(&server.name, Some("secret"));
    assert_eq!(code, Some(0), "{log}");
    let (code, log) = attempt(&format!("{}/3", server.name), Some("secret"));
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("the server has 1 device"), "{log}");
    let (code, log) = attempt("remote:ws://127.0.0.1:9", None);
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("no server answers there"), "{log}");
}

#[test]
fn a_server_open_to_other_machines_wants_a_token() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aet"));
    command
        .args(["serve", "--listen", "0.0.0.0:0"])
        .env_remove("AET_TOKEN");
    let output = command.output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{log}");
    assert!(log.contains("set AET_TOKEN to a secret"), "{log}");
}

#[test]
fn a_server_listens_at_a_host_and_a_port() {
    for wrong in ["3000", "127.0.0.1", "no.such.host.invalid:3000"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aet"));
        let output = command.args(["serve", "--listen", wrong]).output().unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{log}");
        assert!(log.contains("HOST:PORT, such as"), "{log}");
    }
}
