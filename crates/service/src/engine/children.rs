//! What hangs on a gateway and is applied with it: certificate bindings, connections and routes.
//!
//! An operation writes down what it wants of a child, in the child's state, and the gateway's next generation; the
//! engine never asks which operation it was. Each kind of child answers three questions here, for all of its rows on
//! the gateway: what shall be in force ([`Children::wanted`]), what is so once the generation was applied
//! ([`settle`]), and what is so again when it was given up ([`restore`]).

use tongguan_dataplane::GatewayState;
use tongguan_model::gateway::{Binding, BindingState, ChildState, VpnGateway};
use tongguan_model::id::ConnectionId;
use tongguan_model::route::RouteInForce;
use tongguan_store::{Snapshot, StoreError, Tx};

/// What shall be in force on a gateway, of connections and routes by name.
pub(super) struct Children {
    bindings: Vec<Binding>,
    connections: Vec<ConnectionId>,
    routes: Vec<RouteInForce>,
}

impl Children {
    /// What shall be in force with the intended generation.
    pub(super) fn wanted(snapshot: &Snapshot<'_>, gateway: &VpnGateway) -> Result<Self, StoreError> {
        let mut bindings = snapshot.bindings_on(gateway)?;
        bindings.retain(|binding| binding.state != BindingState::Dissociating);
        let connections = snapshot.connections_wanted(&gateway.id)?;
        // Routes lead over connections: where there are none of these, nobody need look for them.
        let routes = if connections.is_empty() { Vec::new() } else { snapshot.routes_wanted(&gateway.id)? };
        Ok(Self { bindings, connections, routes })
    }

    /// The whole state of the gateway.
    pub(super) fn on<'a>(&'a self, gateway: &'a VpnGateway) -> GatewayState<'a> {
        let Self { bindings, connections, routes } = self;
        GatewayState { gateway, bindings, connections, routes }
    }
}

/// The intended generation is in force. Answers whether there are, or were, connections: without any nobody need look
/// for what hangs on them.
pub(super) fn settle(tx: &Tx<'_>, gateway: &VpnGateway) -> Result<bool, StoreError> {
    for binding in tx.bindings_on(gateway)? {
        match binding.state {
            BindingState::Associating => tx.set_binding_state(gateway, &binding, BindingState::Associated)?,
            BindingState::Dissociating => tx.delete_binding(gateway, &binding)?,
            BindingState::Associated => {}
        }
    }
    let connections = tx.connections_under_way(&gateway.id)?;
    if connections.is_empty() {
        return Ok(false);
    }
    for (connection, state) in connections {
        match state {
            ChildState::Creating => tx.set_connection_state(&connection, ChildState::Active)?,
            ChildState::Updating => tx.connection_changed(&connection)?,
            ChildState::Deleting => tx.delete_connection(gateway, &connection)?,
            ChildState::Active => {}
        }
    }
    for route in tx.routes_under_way(&gateway.id)? {
        match route.route.state {
            ChildState::Creating => tx.set_route_state(&route, ChildState::Active)?,
            ChildState::Updating => tx.route_changed(&route)?,
            ChildState::Deleting => tx.delete_route(&route)?,
            ChildState::Active => {}
        }
    }
    Ok(true)
}

/// The intended generation is given up: what was applied before is wanted again. Of the bindings, some leave and some
/// stay, as the gateway has decided.
pub(super) fn restore(
    tx: &Tx<'_>,
    gateway: &VpnGateway,
    leave: &[Binding],
    stay: &[Binding],
) -> Result<(), StoreError> {
    for binding in leave {
        tx.delete_binding(gateway, binding)?;
    }
    for binding in stay {
        tx.set_binding_state(gateway, binding, BindingState::Associated)?;
    }
    for (connection, state) in tx.connections_under_way(&gateway.id)? {
        match state {
            ChildState::Creating => tx.delete_connection(gateway, &connection)?,
            ChildState::Updating => tx.restore_connection(&connection)?,
            ChildState::Deleting => tx.set_connection_state(&connection, ChildState::Active)?,
            ChildState::Active => {}
        }
    }
    for route in tx.routes_under_way(&gateway.id)? {
        match route.route.state {
            ChildState::Creating => tx.delete_route(&route)?,
            ChildState::Updating => tx.restore_route(&route)?,
            ChildState::Deleting => tx.set_route_state(&route, ChildState::Active)?,
            ChildState::Active => {}
        }
    }
    Ok(())
}
