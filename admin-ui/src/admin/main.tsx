import { mount } from "../app"
import { arrive } from "../arrival"
import { Shell } from "../Shell"
import { Tenants } from "./Tenants"

mount(
  <Shell title="Kestrel admin" arrival={await arrive()}>
    <Tenants />
  </Shell>,
)
