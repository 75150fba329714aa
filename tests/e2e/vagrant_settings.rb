# frozen_string_literal: true

# Prints, as JSON, what Vagrant understands of the Vagrantfile in VAGRANT_CWD: machine -> ports, folders, providers. Vagrant's
# own classes hold a provider's settings and find those that it has not; of a provider whose plugin is not installed it has
# no class, and then "checked" is false.

require "json"
require "vagrant"

PROVIDERS = %w[libvirt virtualbox vmware_desktop parallels hyperv].freeze

environment = Vagrant::Environment.new(cwd: ENV.fetch("VAGRANT_CWD"), ui_class: Vagrant::UI::Silent)
machines = environment.machine_names.to_h do |name|
  config = environment.vagrantfile.machine_config(name, :libvirt, nil, nil)[:config]
  providers = PROVIDERS.to_h do |provider|
    settings = config.vm.get_provider_config(provider.to_sym)
    checked = !settings.is_a?(Vagrant::Config::V2::DummyConfig)
    [provider, { checked: checked, unknown: checked ? settings._detected_errors : [],
                 memory: checked && settings.respond_to?(:memory) ? settings.memory : nil }]
  end
  ports = config.vm.networks.filter_map { |kind, options| options if kind == :forwarded_port }
  [name, { box: config.vm.box, ports: ports, folders: config.vm.synced_folders.reject { |_, one| one[:disabled] }.keys,
           provisioners: config.vm.provisioners.map(&:name), providers: providers }]
end
puts JSON.generate(machines)
