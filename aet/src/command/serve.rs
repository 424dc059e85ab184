//! `aet serve`: lends devices of this machine to `aet` on another one.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use aet_learn::device::{DeviceName, TOKEN_VARIABLE};
use anyhow::Context;
use clap::Args;

use crate::failure::usage;
use crate::progress::note;

/// Lend devices to `aet` on another machine
///
/// Whoever connects can use the devices as `--device remote:ws://HOST:PORT`, the second one as
/// `remote:ws://HOST:PORT/1`. Both sides have to be of the same version. The connection is not
/// encrypted: a token, which both sides read from the environment variable AET_TOKEN, keeps strangers
/// out, not eavesdroppers, so serve within a network that you trust, or through a tunnel.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  aet serve --device cuda:0,cuda:1
  AET_TOKEN=... aet serve --device cuda:0 --listen 0.0.0.0:3000
  AET_TOKEN=... aet pretrain images/ --device remote:ws://gpu-1:3000,remote:ws://gpu-2:3000")]
pub struct ServeArgs {
    /// Devices to lend, of one kind: cpu, or some of `aet devices`
    #[arg(
        long = "device",
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "cpu"
    )]
    names: Vec<DeviceName>,
    /// HOST:PORT to listen at; other machines do not reach 127.0.0.1, and any other address wants a token
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000", value_parser = address)]
    listen: SocketAddr,
}

/// The first address of a host, by number or by name, with a port.
fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = |reason: &str| format!("{reason}; it is HOST:PORT, such as 0.0.0.0:3000");
    let mut found = text
        .to_socket_addrs()
        .map_err(|source| wrong(&source.to_string()))?;
    found.next().ok_or_else(|| wrong("the host has no address"))
}

/// Serves until Ctrl-C or SIGTERM.
///
/// # Errors
/// When a device is not there, the address is taken, or there is no token where one is needed.
pub fn run(args: &ServeArgs) -> anyhow::Result<()> {
    if !cfg!(feature = "remote") {
        return Err(usage(
            "this aet cannot lend devices; build it with --features remote",
        ));
    }
    let token = std::env::var(TOKEN_VARIABLE)
        .ok()
        .filter(|token| !token.is_empty());
    if token.is_none() && !args.listen.ip().is_loopback() {
        return Err(usage(format!(
            "--listen {} is open to other machines: set {TOKEN_VARIABLE} to a secret, here and where aet \
             connects from",
            args.listen
        )));
    }
    let devices = args.names.iter().map(|name| Ok(name.open()?));
    let devices = devices.collect::<anyhow::Result<Vec<_>>>()?;
    let listener = TcpListener::bind(args.listen)
        .with_context(|| format!("cannot listen at {}", args.listen))?;
    let address = listener.local_addr().context("the address is unknown")?;
    for (index, name) in args.names.iter().enumerate() {
        let place = match index {
            0 => String::new(),
            _ => format!("/{index}"),
        };
        note(&format!("{name} is lent as remote:ws://{address}{place}"));
    }
    serve(devices, listener, token.as_deref())
}

#[cfg(feature = "remote")]
fn serve(
    devices: Vec<aet_learn::Device>,
    listener: TcpListener,
    token: Option<&str>,
) -> anyhow::Result<()> {
    Ok(aet_learn::serve::serve(devices, listener, token)?)
}

#[cfg(not(feature = "remote"))]
fn serve(
    _devices: Vec<aet_learn::Device>,
    _listener: TcpListener,
    _token: Option<&str>,
) -> anyhow::Result<()> {
    Ok(())
}
