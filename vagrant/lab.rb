# frozen_string_literal: true

# What lab.yaml says of machines and boxes, as the Vagrantfile needs it. Plain Ruby, so that a test can compare it with
# labkit/host/lab/config.py, which reads the same file more strictly.

require "json"
require "yaml"

# The lab's machines.
module Lab
  FILE = File.expand_path(ENV.fetch("LABKIT_LAB", File.join(__dir__, "..", "lab.yaml")))

  # A key that an entry leaves out.
  DEFAULTS = { "cgroup" => "v2", "iptables" => "nft", "memory" => "1024 MiB", "cpus" => 2, "box" => "debian-12",
               "kernel" => "6.1", "options" => {} }.freeze

  # How systemd is told which cgroup hierarchy to mount; kernel-command-line(7).
  CGROUP = {
    "v2" => "systemd.unified_cgroup_hierarchy=1",
    "v1" => "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1",
    "hybrid" => "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=0"
  }.freeze

  # One entry of lab.yaml.
  class Machine
    attr_reader :name

    def initialize(name, entry, boxes)
      @name = name
      @entry = entry || {}
      @boxes = boxes
    end

    def [](key)
      @entry.fetch(key, DEFAULTS[key])
    end

    # Whether it starts from a box of somebody else's, whatever the provider is.
    def stock_only?
      @entry.key?("box")
    end

    # The stock box, as Vagrant knows it.
    def stock_box
      @boxes.fetch(self["box"])
    end

    # Our own box, which `invoke box` makes for each kernel.
    def own_box
      "labkit-#{self['kernel']}"
    end

    def memory_mib
      number, unit = self["memory"].to_s.split
      number.to_i * (unit == "GiB" ? 1024 : 1)
    end

    # What our own box boots with.
    def command_line
      "console=ttyS0 root=LABEL=labkit rw net.ifnames=0 loglevel=6 #{CGROUP.fetch(self['cgroup'])} " \
        "labkit.iptables=#{self['iptables']}"
    end
  end

  def self.document
    @document ||= YAML.safe_load(File.read(FILE, encoding: "UTF-8"))
  end

  def self.machines
    entries = document["machines"].dup
    entries[told_by_invoke["machine"]] = told_by_invoke["entry"] if told_by_invoke.key?("entry")
    entries.map { |name, entry| Machine.new(name, entry, document.fetch("boxes", {})) }
  end

  def self.default
    document["default-machine"] || (document["machines"].key?("default") ? "default" : document["machines"].keys.first)
  end

  # What `invoke up` adds, for the one machine that it is about: its entry (a cell of the matrix has none in the file), a
  # free port, the accelerator, our own box, where its disk and its console's log go. Nothing for who types `vagrant up`.
  def self.told_by_invoke
    @told_by_invoke ||= JSON.parse(ENV.fetch("LABKIT_VAGRANT", "{}"))
  end

  def self.told(machine)
    told_by_invoke["machine"] == machine.name ? told_by_invoke : {}
  end
end
