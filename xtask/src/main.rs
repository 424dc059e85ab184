//! The project's chores. `cargo xtask check` is the one check that developers and CI run: format,
//! clippy, crate edges, documentation, and every test (that all presets parse is one of them).

use std::process::{Command, ExitCode};

/// The libraries, the binary and the fuzz targets, left to right: a crate may use any to its left.
const CRATES: [&str; 6] = [
    "aet-kernels",
    "aet-geometry",
    "aet-data",
    "aet-learn",
    "aet",
    "aet-fuzz",
];

/// Crates that only one of ours may name, and which one.
const OWNED: [(&str, &str); 4] = [
    ("burn", "aet-learn"),
    ("clap", "aet"),
    ("anyhow", "aet"),
    ("tracing-subscriber", "aet"),
];

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        Some("check") => check(),
        Some("edges") => edges(),
        _ => Err("usage: cargo xtask check | edges".to_string()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Everything, cheapest first.
fn check() -> Result<(), String> {
    cargo("fmt --all -- --check", &[])?;
    edges()?;
    cargo(
        "clippy --workspace --all-targets --locked -- -D warnings",
        &[],
    )?;
    cargo(
        "doc --workspace --no-deps --locked",
        &[("RUSTDOCFLAGS", "-D warnings")],
    )?;
    let devices = devices();
    if !devices.is_empty() {
        let clippy = "clippy -p aet-learn -p aet --all-targets --locked";
        cargo(&format!("{clippy} {devices} -- -D warnings"), &[])?;
    }
    let nextest = succeeds("cargo", "nextest --version");
    if nextest {
        cargo(&format!("nextest run --workspace --locked {devices}"), &[])?;
        // nextest leaves the examples in the documentation out.
        cargo(&format!("test --workspace --doc --locked {devices}"), &[])?;
    } else {
        cargo(&format!("test --workspace --locked {devices}"), &[])?;
    }
    let test = if nextest { "nextest run" } else { "test" };
    lesser_instructions(test)?;
    libjpeg_turbo(test)
}

/// The kernels once more with the instructions of lesser machines than this one.
fn lesser_instructions(test: &str) -> Result<(), String> {
    for instructions in ["avx2", "portable"] {
        println!("AET_SIMD={instructions}");
        cargo(
            &format!("{test} -p aet-kernels --locked"),
            &[("AET_SIMD", instructions)],
        )?;
    }
    Ok(())
}

/// The features of devices that can be tested here, as cargo takes them: all tests are run with them,
/// since a build with them and one without would take twice as long.
fn devices() -> &'static str {
    let drivers = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    let found = drivers
        .iter()
        .any(|folder| std::fs::read_dir(folder).is_ok_and(|mut drivers| drivers.next().is_some()));
    if found || std::env::var_os("VK_DRIVER_FILES").is_some() {
        return "--features aet-learn/wgpu,aet-learn/remote,aet/wgpu,aet/remote";
    }
    println!("without a Vulkan driver, the features wgpu and remote are left untested");
    ""
}

/// The tests of `aet-data` that read photographs, by libjpeg-turbo, where its C can be built.
fn libjpeg_turbo(test: &str) -> Result<(), String> {
    let missing: Vec<&str> = ["cmake", "nasm"]
        .into_iter()
        .filter(|tool| !succeeds(tool, "--version"))
        .collect();
    if !missing.is_empty() {
        let missing = missing.join(" and ");
        println!("without {missing}, the feature libjpeg-turbo is left untested");
        return Ok(());
    }
    let feature = "-p aet-data --features libjpeg-turbo --locked";
    let tests = "--test broken_inputs --test decoding --test mutations --test streaming";
    cargo(
        &format!("clippy {feature} --all-targets -- -D warnings"),
        &[],
    )?;
    cargo(&format!("{test} {feature} {tests}"), &[])
}

/// Checks that the crates stand in a line and that each owned crate is named where it belongs.
fn edges() -> Result<(), String> {
    for (place, name) in CRATES.iter().enumerate() {
        let direct = direct_dependencies(name)?;
        for right in &CRATES[place + 1..] {
            if direct.iter().any(|found| found == right) {
                return Err(format!("{name} uses {right}, which stands to its right"));
            }
        }
        for (owned, owner) in OWNED {
            if *name != owner && direct.iter().any(|found| found == owned) {
                return Err(format!("{name} names {owned}; only {owner} may"));
            }
        }
    }
    println!("crate edges: {}", CRATES.join(" <- "));
    Ok(())
}

/// Names of the direct dependencies of one of our crates, for building and testing.
fn direct_dependencies(name: &str) -> Result<Vec<String>, String> {
    let output = Command::new("cargo")
        .args(["tree", "--locked", "--depth", "1", "--prefix", "none"])
        .args(["--edges", "normal,build,dev", "--package", name])
        .output()
        .map_err(|error| format!("cargo tree: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "cargo tree --package {name} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(lines
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_string)
        .collect())
}

/// Runs `cargo` with these words, its output shown.
fn cargo(words: &str, environment: &[(&str, &str)]) -> Result<(), String> {
    println!("> cargo {words}");
    let status = Command::new("cargo")
        .args(words.split_whitespace())
        .envs(environment.iter().copied())
        .status()
        .map_err(|error| format!("cargo {words}: {error}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("cargo {words} failed"))
}

/// Whether a command is there and works.
fn succeeds(program: &str, words: &str) -> bool {
    Command::new(program)
        .args(words.split_whitespace())
        .output()
        .is_ok_and(|output| output.status.success())
}
