import { mount } from "../app"
import { Shell } from "../Shell"
import { Tenants } from "./Tenants"

mount(
  <Shell title="Kestrel admin">
    <Tenants />
  </Shell>,
)
