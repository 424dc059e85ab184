//! `--device`, of the commands that run networks, and what becomes of a device that fails.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aet_learn::Device;
use aet_learn::device::{DeviceName, part};
use anyhow::bail;
use clap::Args;

/// What a command computes on.
#[derive(Debug, Args)]
pub struct DeviceArgs {
    /// Device to compute on: cpu, one of `aet devices`, such as cuda:1 or vulkan, or one of `aet serve`
    /// elsewhere, remote:ws://HOST:PORT
    #[arg(long, value_name = "NAME", default_value_t)]
    device: DeviceName,
}

impl DeviceArgs {
    /// The device.
    ///
    /// # Errors
    /// When it is not there.
    pub fn open(&self) -> anyhow::Result<Device> {
        open(&self.device)
    }
}

/// What a command trains on.
#[derive(Debug, Args)]
pub struct TrainingDevices {
    /// Device to compute on: cpu, one of `aet devices`, such as cuda:1 or vulkan, or one of `aet serve`
    /// elsewhere, remote:ws://HOST:PORT; several, as in cuda:0,cuda:1, divide each batch among them
    #[arg(
        long = "device",
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "cpu"
    )]
    names: Vec<DeviceName>,
}

impl TrainingDevices {
    /// The devices; the first keeps the weights, and judges.
    ///
    /// # Errors
    /// When one of them is not there.
    pub fn open(&self) -> anyhow::Result<Vec<Device>> {
        let devices = self.names.iter().map(open);
        devices.collect()
    }

    /// Their names and parts, as a run keeps them.
    pub fn description(&self, devices: &[Device]) -> String {
        let each = self.names.iter().zip(devices);
        let each = each.map(|(name, device)| match (name, part(device)) {
            (_, Some(part)) => format!("{name} ({part})"),
            (DeviceName::Local { .. }, None) => format!("{name} (flex)"),
            (DeviceName::Remote { .. }, None) => name.to_string(),
        });
        each.collect::<Vec<_>>().join(", ")
    }
}

/// Names of the devices beside the CPU that this process has opened.
static OPENED: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn opened() -> MutexGuard<'static, Vec<String>> {
    OPENED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the device `name`, of which [`guarded`] is to know.
fn open(name: &DeviceName) -> anyhow::Result<Device> {
    let device = name.open()?;
    if *name != DeviceName::default() {
        opened().push(name.to_string());
    }
    Ok(device)
}

/// Does `work`. Burn panics where a device beside the CPU fails under way: where one was opened, a
/// panic becomes an error of one line.
///
/// # Errors
/// Those of `work`, and a device's failure.
pub fn guarded(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let own_devices = !opened().is_empty();
        match own_devices {
            true => tracing::debug!("{panic}"),
            false => usual(panic),
        }
    }));
    let outcome = catch_unwind(AssertUnwindSafe(work));
    let devices = opened().join(", ");
    match outcome {
        Ok(outcome) => outcome,
        Err(panic) if devices.is_empty() => resume_unwind(panic),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
            bail!(
                "device {devices} failed: {}",
                explained(said.unwrap_or("it gives no reason"))
            )
        }
    }
}

/// What a device says when it fails, without its backtrace, and what helps.
fn explained(said: &str) -> String {
    let said = said.split("Backtrace").next().unwrap_or(said);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    // Burn's word for a connection that is closed.
    if said.contains("RecvError") || said.contains("disconnected") {
        return "its server went away; a run goes on from its last checkpoint with --resume, on this \
                device or another"
            .into();
    }
    // What Burn tells a programmer.
    let said = said.rsplit("Caused by: ").next().unwrap_or(&said);
    let lower = said.to_lowercase();
    let out_of_memory = [
        "out of memory",
        "outofmemory",
        "out_of_memory",
        "cannot allocate",
    ];
    let advice = match out_of_memory.iter().any(|words| lower.contains(words)) {
        true => {
            " (out of memory: --set training.gradient_accumulation=2, or more, goes through a batch in \
             parts; --set training.batch_size makes it smaller)"
        }
        false => "",
    };
    format!("{said}{advice}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_memory_is_told_with_advice() {
        let said =
            explained("Allocation failed:\n  Out of memory on device 0\nBacktrace:\n 0: main");
        assert!(said.starts_with("Allocation failed: Out of memory on device 0 (out of memory:"));
        assert!(said.contains("training.gradient_accumulation=2") && !said.contains("main"));
        assert_eq!(explained("the card is hot"), "the card is hot");
    }

    #[test]
    fn a_server_that_went_away_is_told_in_words() {
        let said = "Error while reading data: use `try_into_scalar`: Execution(An error happened during \
                    execution\nCaused by:\n  Failed to read tensor: RecvError(()))";
        assert!(
            explained(said).starts_with("its server went away"),
            "{}",
            explained(said)
        );
        let other = said.replace("RecvError(())", "the kernel is wrong");
        assert_eq!(
            explained(&other),
            "Failed to read tensor: the kernel is wrong)"
        );
    }
}
