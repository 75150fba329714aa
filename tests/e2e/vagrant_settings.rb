# frozen_string_literal: true

# Prints, as JSON, what Vagrant understands of the Vagrantfile in VAGRANT_CWD: machine -> ports, folders, providers. Vagrant's
# own classes hold a provider's settings and find those that it has not; of a provider whose plugin is not installed it has
# no class, and then "checked" is false.

require "json"
require "vagrant"

PROVIDERS = %w[libvirt virtualbox vmware_desktop parallels hyperv].freeze

environment = Vagrant::Environment.new(cwd: ENV.fetch("VAGRANT_CWD"), ui_class: Vagrant::UI::Silent)
machines = environment.machine_names.to_h do |name|
  # The last argument: also for a provider that cannot be used here.
  of = ->(provider) { environment.vagrantfile.machine_config(name, provider.to_sym, nil, nil, false)[:config].vm }
  vm = of.call("libvirt")
  providers = PROVIDERS.to_h do |provider|
    settings = vm.get_provider_config(provider.to_sym)
    checked = !settings.is_a?(Vagrant::Config::V2::DummyConfig)
    [provider, { checked: checked, unknown: checked ? settings._detected_errors : [],
                 memory: checked && settings.respond_to?(:memory) ? settings.memory : nil }]
  end
  # What each provider's block overrides is the same for all machines but for the names in it, and takes time to read.
  read = name == environment.machine_names.first ? PROVIDERS.map(&of) : [vm]
  ports = read.flat_map { |one| one.networks.filter_map { |kind, options| options if kind == :forwarded_port } }
  folders = read.flat_map { |one| one.synced_folders.reject { |_, folder| folder[:disabled] }.keys }
  [name, { box: vm.box, ports: ports, folders: folders, provisioners: vm.provisioners.map(&:name),
           providers: providers }]
end
puts JSON.generate(machines)
