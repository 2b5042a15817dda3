# An SM gateway from nothing to a connection: resource group, VPC, two vSwitches, a gateway of type NationalStandard, its two
# certificates, the device at the far end, and the connection to it. README.md beside this file says how to run it.

terraform {
  required_version = ">= 1.4"
  required_providers {
    alicloud = {
      source  = "aliyun/alicloud"
      version = ">= 1.289"
    }
  }
}

provider "alicloud" {
  region                 = var.region
  protocol               = "HTTP"
  skip_region_validation = true
  account_type           = "Domestic"
  endpoints {
    vpc             = var.endpoint
    ecs             = var.endpoint
    resourcemanager = var.endpoint
    sts             = var.endpoint
  }
}

data "alicloud_vpn_gateway_zones" "here" {
  spec = "10M"
}

resource "alicloud_resource_manager_resource_group" "sm" {
  resource_group_name = "sm-gateways"
  display_name        = "SM gateways"
}

resource "alicloud_vpc" "main" {
  vpc_name          = "sm"
  cidr_block        = "10.0.0.0/16"
  resource_group_id = alicloud_resource_manager_resource_group.sm.id
}

resource "alicloud_vswitch" "main" {
  count        = 2
  vpc_id       = alicloud_vpc.main.id
  zone_id      = data.alicloud_vpn_gateway_zones.here.ids[count.index]
  cidr_block   = cidrsubnet(alicloud_vpc.main.cidr_block, 8, count.index)
  vswitch_name = "sm-${count.index}"
}

resource "alicloud_vpn_gateway" "sm" {
  vpn_gateway_name             = "sm"
  description                  = "SM2 certificates, SM3 and SM4"
  vpn_type                     = "NationalStandard"
  vpc_id                       = alicloud_vpc.main.id
  vswitch_id                   = alicloud_vswitch.main[0].id
  disaster_recovery_vswitch_id = alicloud_vswitch.main[1].id
  bandwidth                    = 10
  enable_ipsec                 = true
  enable_ssl                   = false
  payment_type                 = "PayAsYouGo"
  resource_group_id            = alicloud_resource_manager_resource_group.sm.id
}

# The provider has no resource for a gateway's certificates. Both are bound before the connection is made, and deleted when
# the gateway is.
resource "terraform_data" "certificates" {
  input = {
    gateway  = alicloud_vpn_gateway.sm.id
    endpoint = var.endpoint
    region   = var.region
  }

  provisioner "local-exec" {
    command = "./sm.sh bind ${self.input.endpoint} ${self.input.region} ${self.input.gateway}"
  }

  provisioner "local-exec" {
    when    = destroy
    command = "./sm.sh unbind ${self.output.endpoint} ${self.output.region} ${self.output.gateway}"
  }
}

resource "alicloud_vpn_customer_gateway" "branch" {
  customer_gateway_name = "branch"
  ip_address            = var.branch
}

# Its resource for a connection knows no RemoteCaCertificate, without which an SM gateway refuses one. It is made anew when
# something of it changes.
resource "terraform_data" "connection" {
  input = {
    gateway  = alicloud_vpn_gateway.sm.id
    peer     = alicloud_vpn_customer_gateway.branch.id
    local    = alicloud_vpc.main.cidr_block
    remote   = var.remote
    endpoint = var.endpoint
    region   = var.region
  }
  triggers_replace = [
    alicloud_vpn_gateway.sm.id, alicloud_vpn_customer_gateway.branch.id, alicloud_vpc.main.cidr_block, var.remote,
  ]

  provisioner "local-exec" {
    command = join(" ", [
      "./sm.sh connect", self.input.endpoint, self.input.region, self.input.gateway, self.input.peer,
      self.input.local, self.input.remote,
    ])
  }

  provisioner "local-exec" {
    when    = destroy
    command = "./sm.sh disconnect ${self.output.endpoint} ${self.output.region} ${self.output.gateway}"
  }

  depends_on = [terraform_data.certificates]
}

data "alicloud_vpn_connections" "branch" {
  vpn_gateway_id = alicloud_vpn_gateway.sm.id

  depends_on = [terraform_data.connection]
}

output "gateway" {
  value = alicloud_vpn_gateway.sm.id
}

output "connection" {
  value = one(data.alicloud_vpn_connections.branch.connections[*].id)
}

output "connection_status" {
  value = one(data.alicloud_vpn_connections.branch.connections[*].status)
}
