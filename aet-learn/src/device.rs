//! Devices by the names that users give them: `cpu`, a runtime and a number, as `cuda:1`, or a device of
//! another machine, as `remote:ws://HOST:PORT`. What a binary can run on besides the processor is chosen
//! when it is built, by features of this crate.

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;

use crate::error::{ConfigError, LearnError};

/// What runs tensors: the processor, or a way to reach accelerators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// The processor, by Burn's backend flex and the fused operations of `aet-kernels`.
    Cpu,
    /// NVIDIA cards by CUDA.
    Cuda,
    /// Cards by Vulkan, with kernels in SPIR-V.
    Vulkan,
    /// Cards by whichever of Vulkan, Metal and DirectX 12 the machine has, with kernels in WGSL
    /// unless the build has the native compiler.
    Wgpu,
    /// Apple's cards by Metal.
    Metal,
    /// AMD cards by ROCm.
    Rocm,
}

/// Every runtime by its name, with the cargo feature that builds it and a line on it.
pub const RUNTIMES: [(Runtime, &str, &str); 6] = [
    (Runtime::Cpu, "cpu", "the processor; always there"),
    (Runtime::Cuda, "cuda", "NVIDIA cards by CUDA"),
    (Runtime::Vulkan, "vulkan", "cards by Vulkan"),
    (
        Runtime::Wgpu,
        "wgpu",
        "cards by whichever graphics interface the machine has",
    ),
    (Runtime::Metal, "metal", "Apple's cards by Metal"),
    (Runtime::Rocm, "rocm", "AMD cards by ROCm"),
];

impl Runtime {
    /// Its name in [`DeviceName`]s, which is that of its cargo feature as well.
    pub fn name(self) -> &'static str {
        let row = RUNTIMES.iter().find(|(runtime, ..)| *runtime == self);
        row.map_or("cpu", |(_, name, _)| name)
    }

    /// Whether this build has it.
    pub fn is_built(self) -> bool {
        match self {
            Self::Cpu => true,
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Vulkan => cfg!(feature = "vulkan"),
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::Metal => cfg!(feature = "metal"),
            Self::Rocm => cfg!(feature = "rocm"),
        }
    }

    /// The devices that this machine has for it, in the order of their numbers; none where this build
    /// lacks it.
    pub fn devices(self) -> Vec<Device> {
        #[cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm"))]
        let found = |kind: burn::tensor::DeviceType| Device::enumerate(kind).into_iter().collect();
        match self {
            Self::Cpu => vec![Device::flex()],
            #[cfg(feature = "cuda")]
            Self::Cuda => found(burn::tensor::DeviceType::Cuda),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => found(burn::tensor::DeviceType::Vulkan),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => found(burn::tensor::DeviceType::Wgpu),
            #[cfg(feature = "metal")]
            Self::Metal => found(burn::tensor::DeviceType::Metal),
            #[cfg(feature = "rocm")]
            Self::Rocm => found(burn::tensor::DeviceType::Rocm),
            #[allow(unreachable_patterns)]
            _ => Vec::new(),
        }
    }
}

/// The variable of the environment that holds the token which a server and its clients share.
pub const TOKEN_VARIABLE: &str = "AET_TOKEN";

/// What names of devices of other machines begin with.
const REMOTE: &str = "remote:";

/// A device as users name it: `cpu`; a runtime with a number from 0, which is 0 unless it is given;
/// or one of a server (`aet serve`) on another machine, `remote:ws://HOST:PORT`, with `/1` and so on
/// for those behind its first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceName {
    /// One of this machine.
    Local {
        /// What reaches it.
        runtime: Runtime,
        /// Its number.
        index: usize,
    },
    /// One of a server.
    Remote {
        /// The server, `ws://HOST:PORT`.
        server: String,
        /// The number in its list.
        index: usize,
    },
}

impl Default for DeviceName {
    fn default() -> Self {
        Self::new(Runtime::Cpu, 0)
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local {
                runtime: Runtime::Cpu,
                ..
            } => formatter.write_str("cpu"),
            Self::Local { runtime, index } => write!(formatter, "{}:{index}", runtime.name()),
            Self::Remote { server, index: 0 } => write!(formatter, "{REMOTE}{server}"),
            Self::Remote { server, index } => write!(formatter, "{REMOTE}{server}/{index}"),
        }
    }
}

impl FromStr for DeviceName {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        if let Some(rest) = text.strip_prefix(REMOTE) {
            return Self::remote(rest).ok_or_else(|| {
                let range = "remote:ws://HOST:PORT, with /1 and so on for further devices there";
                ConfigError::range("device", range, text)
            });
        }
        let (name, index) = match text.split_once(':') {
            Some((name, index)) => (name, Some(index)),
            None => (text, None),
        };
        let row = RUNTIMES.iter().find(|(_, known, _)| *known == name);
        let Some((runtime, ..)) = row else {
            let known = RUNTIMES.map(|(_, known, _)| known).join(", ");
            return Err(ConfigError::Unknown {
                key: "device",
                value: text.into(),
                known: format!("{known}, {REMOTE}ws://HOST:PORT"),
            });
        };
        let index = index.map_or(Ok(0), str::parse);
        match index {
            Ok(index) if index == 0 || *runtime != Runtime::Cpu => Ok(Self::new(*runtime, index)),
            _ => Err(ConfigError::range(
                "device",
                "cpu, or a runtime and a number from 0, such as cuda:1",
                text,
            )),
        }
    }
}

impl DeviceName {
    /// Device `index` of `runtime`.
    pub fn new(runtime: Runtime, index: usize) -> Self {
        Self::Local { runtime, index }
    }

    /// `ws://HOST:PORT` or `ws://HOST:PORT/INDEX`.
    fn remote(text: &str) -> Option<Self> {
        let address = text.strip_prefix("ws://")?;
        let (host, index) = match address.split_once('/') {
            Some((host, index)) => (host, index.parse().ok()?),
            None => (address, 0),
        };
        let (name, port) = host.rsplit_once(':')?;
        let port: u16 = port.parse().ok()?;
        (!name.is_empty() && port > 0).then(|| Self::Remote {
            server: format!("ws://{host}"),
            index,
        })
    }

    /// The device itself, without autodiff.
    ///
    /// # Errors
    /// When this build lacks the runtime, this machine the device, or its server does not answer.
    pub fn open(&self) -> Result<Device, LearnError> {
        match self {
            Self::Local { runtime, index } => self.open_local(*runtime, *index),
            Self::Remote { server, index } => self.open_remote(server, *index),
        }
    }

    fn absent(&self, message: impl Into<String>) -> LearnError {
        LearnError::NoDevice {
            device: self.to_string(),
            message: message.into(),
        }
    }

    fn open_local(&self, runtime: Runtime, index: usize) -> Result<Device, LearnError> {
        let name = runtime.name();
        if !runtime.is_built() {
            return Err(self.absent(format!(
                "this aet is built without it; build with --features {name}"
            )));
        }
        let mut devices = runtime.devices();
        match devices.len() {
            count if index < count => Ok(devices.swap_remove(index)),
            0 => Err(self.absent(format!(
                "this machine has no device of {name}; `aet devices` lists what there is"
            ))),
            count => Err(self.absent(format!(
                "this machine has {name}:0 to {name}:{}; `aet devices` lists them",
                count - 1
            ))),
        }
    }

    #[cfg(feature = "remote")]
    fn open_remote(&self, server: &str, index: usize) -> Result<Device, LearnError> {
        use burn::remote::{ConnectError, RemoteHost};

        let mut host = RemoteHost::websocket(server);
        if let Ok(token) = std::env::var(TOKEN_VARIABLE) {
            host = host.with_credential(token);
        }
        let options = Device::remote_options(&host).device_index(index);
        options.init().map_err(|error| {
            let message = match error {
                ConnectError::Unauthorized => {
                    format!("the server refuses the token in {TOKEN_VARIABLE}")
                }
                ConnectError::NoSuchDevice { device_count } => {
                    format!("the server has {device_count} device(s), counted from 0")
                }
                ConnectError::Unreachable { reason } => {
                    format!("no server answers there ({reason}); start one with `aet serve`")
                }
                other => format!("{other:?}"),
            };
            self.absent(message)
        })
    }

    #[cfg(not(feature = "remote"))]
    fn open_remote(&self, _server: &str, _index: usize) -> Result<Device, LearnError> {
        Err(self.absent("this aet is built without it; build with --features remote"))
    }
}

/// Whether `device` is the processor of this machine, by flex.
pub fn is_cpu(device: &Device) -> bool {
    device.clone().without_autodiff() == Device::flex()
}

/// The name of the part behind `device`, if it has one: `NVIDIA H100 PCIe`. Opens the device.
pub fn part(device: &Device) -> Option<String> {
    #[cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm"))]
    return device.identity().map(|identity| identity.name);
    #[cfg(not(any(feature = "wgpu", feature = "cuda", feature = "rocm")))]
    {
        let _ = device;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        text.parse::<DeviceName>().expect_err(text).to_string()
    }

    #[test]
    fn names_are_read_as_they_are_shown() {
        for name in [
            "cpu", "cuda:0", "cuda:3", "vulkan:1", "wgpu:0", "metal:0", "rocm:7",
        ] {
            assert_eq!(name.parse::<DeviceName>().expect(name).to_string(), name);
        }
        let short: DeviceName = "vulkan".parse().expect("without a number");
        assert_eq!(short, DeviceName::new(Runtime::Vulkan, 0));
    }

    #[test]
    fn what_is_no_device_is_refused_with_what_is_known() {
        assert!(refusal("gpu").contains("known are cpu, cuda, vulkan, wgpu, metal, rocm, remote:"));
        assert!(refusal("cuda:x").contains("such as cuda:1"));
        assert!(refusal("cuda:-1").contains("such as cuda:1"));
        assert!(refusal("cpu:1").contains("such as cuda:1"));
        assert!(refusal("").contains("known are"));
        for wrong in [
            "remote:",
            "remote:http://a:1",
            "remote:ws://a",
            "remote:ws://:1",
            "remote:ws://a:1/x",
        ] {
            assert!(refusal(wrong).contains("remote:ws://HOST:PORT"), "{wrong}");
        }
    }

    #[test]
    fn the_processor_is_always_there() {
        assert_eq!(DeviceName::default().to_string(), "cpu");
        assert_eq!(DeviceName::default().open().expect("cpu"), Device::flex());
    }

    #[test]
    fn a_runtime_that_is_not_built_says_how_to_build_it() {
        for (runtime, name, _) in RUNTIMES {
            if !runtime.is_built() {
                let refused = DeviceName::new(runtime, 0).open().expect_err(name);
                assert!(refused.to_string().contains(&format!("--features {name}")));
            }
        }
    }
}
