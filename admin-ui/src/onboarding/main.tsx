import { mount } from "../app"
import { Landing } from "./Landing"
import { Onboarding } from "./Onboarding"

mount(location.pathname.startsWith("/onboarding") ? <Onboarding /> : <Landing />)
