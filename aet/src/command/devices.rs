//! `aet devices`: what this build can compute on, and what of it this machine has.

use aet_learn::device::{DeviceName, RUNTIMES, part};
use clap::Args;
use serde_json::{Value, json};

use crate::machine;
use crate::output::{print, print_json};
use crate::table::text_list;

/// List the devices that --device can name on this machine
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
            found.push((DeviceName::new(runtime, index).to_string(), part));
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
        let rows = |rows: &[(String, String)], key: &str| -> Vec<Value> {
            let row = |(name, line): &(String, String)| json!({ "name": name, key: line });
            rows.iter().map(row).collect()
        };
        return print_json(&json!({
            "devices": rows(&found, "part"),
            "without": rows(&left_out, "why"),
        }));
    }
    let mut text = format!("devices (--device NAME)\n{}", text_list(&found));
    if !left_out.is_empty() {
        text.push_str(&format!("\nwithout devices\n{}", text_list(&left_out)));
    }
    print(&text)
}
