variable "endpoint" {
  description = "Host and port of the service, without a scheme."
  type        = string
  default     = "127.0.0.1:8080"
}

variable "region" {
  description = "Region of everything that is made."
  type        = string
  default     = "cn-hangzhou"
}

variable "branch" {
  description = "Public address of the device at the far end."
  type        = string
  default     = "203.0.113.7"
}

variable "remote" {
  description = "Block behind that device."
  type        = string
  default     = "192.168.0.0/24"
}
