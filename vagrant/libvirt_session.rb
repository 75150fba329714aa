# frozen_string_literal: true

# libvirt's *session* mode: QEMU runs as this very user, without root, groups or a network to be set up, and SSH comes
# through QEMU's user-mode network on 127.0.0.1. vagrant-libvirt 0.11 and 0.12 know networks of libvirt's only, so what
# they would find out there is said here.

require "zlib"

# Settings and one answer of the driver's.
module LibvirtSession
  # A machine on the user-mode network is where its port is forwarded from.
  module Address
    def get_ipaddress(domain = nil)
      @machine.provider_config.mgmt_attach == false ? "127.0.0.1" : super
    end
  end

  def self.settings(libvirt, override, port, restrict)
    # Vagrant runs each provider's block for everybody. Without its plugin `libvirt` takes any setting, and no driver is there.
    answer_for_the_driver if Vagrant.has_plugin?("vagrant-libvirt")
    libvirt.qemu_use_session = true
    libvirt.uri = "qemu:///session"
    libvirt.system_uri = "qemu:///session"
    # A machine without libvirt's network is allowed only where a guest agent could tell the address. It is not asked: its
    # channel leads nowhere. (By default it is a socket below ~/.config, too long a path for some homes; unix(7).)
    libvirt.mgmt_attach = false
    libvirt.qemu_use_agent = true
    libvirt.channel type: "null", target_type: "virtio", target_name: "org.qemu.guest_agent.0"
    # Given to QEMU as it is; the address is one that libvirt, which does not know of the card, uses last.
    network = "user,id=lab,ipv6=off,restrict=#{restrict ? 'on' : 'off'},hostfwd=tcp:127.0.0.1:#{port}-:22"
    ["-netdev", network, "-device", "virtio-net-pci,netdev=lab,bus=pci.0,addr=0x10,romfile="].each do |word|
      libvirt.qemuargs value: word
    end
    override.ssh.host = "127.0.0.1"
    override.ssh.port = port
  end

  def self.answer_for_the_driver
    require "vagrant-libvirt/driver"
    driver = VagrantPlugins::ProviderLibvirt::Driver
    driver.prepend(Address) unless driver.include?(Address)
  end

  # A port for who types `vagrant up`: the same at each command, another one for each machine and checkout.
  def self.usual_port(name, directory)
    22_000 + (Zlib.crc32("#{directory} #{name}") % 10_000)
  end

  private_class_method :answer_for_the_driver
end
