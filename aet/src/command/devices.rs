//! `aet devices`: what this build can compute on, and what of it this machine has.

use aet_learn::device::{DeviceName, RUNTIMES, part};
use aet_learn::precision::Precision;
use clap::Args;
use serde_json::{Value, json};

use crate::machine;
use crate::output::{print, print_json};
use crate::table::text_list;

/// List the devices that --device can name on this machine, and what each can calculate in
///
/// The precisions are those that training.precision can name for pretrain on that device.
///
/// Runtimes beside the processor are chosen when aet is built: cargo build --release --features vulkan
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  aet devices
  aet pretrain path/to/images --device vulkan
  aet embed my-run path/to/images --device cuda:1")]
pub struct DevicesArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Prints the list.
///
/// # Errors
/// When stdout is closed.
pub fn run(args: &DevicesArgs) -> anyhow::Result<()> {
    let mut found = Vec::new();
    let mut left_out = Vec::new();
    for (runtime, name, line) in RUNTIMES {
        let devices = runtime.devices();
        for (index, device) in devices.iter().enumerate() {
            let part = part(device).unwrap_or_else(machine::description);
            let precisions = Precision::names_on(device);
            found.push((
                DeviceName::new(runtime, index).to_string(),
                part,
                precisions,
            ));
        }
        if devices.is_empty() {
            let why = match runtime.is_built() {
                true => "this machine has none".to_string(),
                false => format!("not in this build (--features {name})"),
            };
            left_out.push((name.to_string(), format!("{line}: {why}")));
        }
    }
    if args.json {
        let found = found.iter().map(|(name, part, precisions)| {
            json!({ "name": name, "part": part, "precisions": precisions })
        });
        let without = left_out.iter();
        let without = without.map(|(name, why)| json!({ "name": name, "why": why }));
        return print_json(&json!({
            "devices": found.collect::<Vec<Value>>(),
            "without": without.collect::<Vec<Value>>(),
        }));
    }
    let line = |(name, part, precisions): (String, String, Vec<&str>)| {
        (name, format!("{part} ({})", precisions.join(", ")))
    };
    let found: Vec<_> = found.into_iter().map(line).collect();
    let mut text = format!("devices (--device NAME)\n{}", text_list(&found));
    if !left_out.is_empty() {
        text.push_str(&format!("\nwithout devices\n{}", text_list(&left_out)));
    }
    print(&text)
}
