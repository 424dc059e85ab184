//! Serving devices of this machine to clients on others, through Burn's remote devices: a client sends
//! operations on tensors, which run here. The connection is a WebSocket, neither encrypted nor
//! authenticated but for a token.

use std::net::TcpListener;

use burn::server::{RemoteServer, TokenAuthorizer, WebSocketTransport};
use burn::tensor::Device;

use crate::error::LearnError;

/// Serves `devices`, which have to be of one backend, to whoever connects to `listener`, with `token`
/// only to those that present it, until the process is asked to stop (Ctrl-C or SIGTERM).
///
/// # Errors
/// When the token is empty or the server cannot go on.
pub fn serve(
    devices: Vec<Device>,
    listener: TcpListener,
    token: Option<&str>,
) -> Result<(), LearnError> {
    let failed = |message: String| LearnError::Serve { message };
    let mut server = RemoteServer::new(devices);
    if let Some(token) = token {
        let authorizer = TokenAuthorizer::new(token);
        server = server.with_authorizer(authorizer.map_err(|error| failed(error.to_string()))?);
    }
    let transport = WebSocketTransport::from_listener(listener);
    server
        .serve(transport)
        .map_err(|error| failed(error.to_string()))
}
